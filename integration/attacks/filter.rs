//! Ways around a seccomp filter: the calls of another architecture, of x32, and clone3, whose flags no filter sees.

use rt_integration::{Bundle, Outcome, Sandbox, sandbox};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// The profile that Docker gives its containers.
fn docker() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bundles/docker/config.json");
    let text = fs::read(path).expect("bundles/docker");
    serde_json::from_slice::<Value>(&text).expect("JSON")["linux"]["seccomp"].clone()
}

fn run(bundle: Bundle<'_>, profile: Option<Value>, steps: &str) -> Outcome {
    let bundle = bundle.args(steps.split(' '));
    let bundle = match profile {
        Some(profile) => bundle.set("/linux/seccomp", profile),
        None => bundle,
    };
    bundle.run()
}

/// unshare(2), by its numbers for i386 and for x32, with CLONE_NEWUTS.
const I386: &str = "compat 310 0x4000000";
const X32: &str = "try 1073742096 0x4000000";
const NATIVE: &str = "try unshare 0x4000000";

/// Able to do it, were it not for the filter.
fn able(sandbox: &Sandbox) -> Bundle<'_> {
    let list = json!(["CAP_SYS_ADMIN", "CAP_KILL"]);
    sandbox.bundle("c").set("/process/capabilities", json!({ "bounding": list, "permitted": list, "effective": list }))
}

#[test]
fn by_another_architecture_or_x32() {
    let sandbox = sandbox!();
    if cfg!(not(target_arch = "x86_64")) {
        rt_integration::skip!("the calls of other architectures are tried on x86_64");
    }
    let free = run(able(&sandbox), None, I386);
    if free.stdout() != "ok\n" {
        println!("this kernel has no i386 calls: {}", free.stdout().trim_end());
    }
    let deny = json!([{ "names": ["unshare"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1 }]);
    let with = |architectures: &[&str]| {
        Some(json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures, "syscalls": deny }))
    };
    let all = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
    for (architectures, call) in [(&all[..1], I386), (&all[..1], X32), (&all[..], I386), (&all[..], X32), (&[], I386)] {
        let out = run(able(&sandbox), with(architectures), call);
        assert_ne!(out.stdout(), "ok\n", "{architectures:?} {call}");
        // Where the profile does not know the architecture, whoever uses it is killed.
        let killed = out.code() == 128 + libc::SIGSYS;
        assert!(killed || ["EPERM\n", "ENOSYS\n"].contains(&out.stdout().as_str()), "{}", out.report());
    }
    assert_eq!(run(able(&sandbox), with(&all), NATIVE).ok().stdout(), "EPERM\n");
}

/// Without the filter the same container can, so that the test above says something.
#[test]
fn without_a_filter_it_can() {
    let sandbox = sandbox!();
    assert_eq!(run(able(&sandbox), None, NATIVE).ok().stdout(), "ok\n");
    assert_eq!(run(sandbox.bundle("c"), None, CLONE3).ok().stdout(), "ok\n");
}

/// A child in a user namespace of its own. The flags are in memory, where no filter sees them.
const CLONE3: &str = "clone3 0x10000000";

#[test]
fn by_clone3() {
    let sandbox = sandbox!();
    let out = run(sandbox.bundle("c"), Some(docker()), &format!("seq {CLONE3} -- try unshare 0x10000000"));
    // C libraries take ENOSYS for an old kernel, and fall back to clone, whose flags are seen.
    assert_eq!(out.ok().stdout(), "ENOSYS\nEPERM\n");
}
