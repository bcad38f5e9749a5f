//! The five capability sets, as the process finds them.

use rt_integration::{Bundle, Outcome, sandbox};
use serde_json::{Value, json};

const CHOWN: u64 = 1;
const KILL: u64 = 1 << 5;
const SETUID: u64 = 1 << 7;
const NET_RAW: u64 = 1 << 13;

/// Inheritable, permitted, effective, bounding, ambient.
type Sets = [u64; 5];

#[track_caller]
fn seen(out: &Outcome) -> Sets {
    let lines = out.lines();
    let of = |name: &str| {
        let line = lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        u64::from_str_radix(line.unwrap_or_else(|| panic!("no {name}: {}", out.report())), 16).expect("hex")
    };
    ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(of)
}

fn with<'a>(bundle: Bundle<'a>, uid: u32, sets: Value) -> Bundle<'a> {
    let user = json!({ "uid": uid, "gid": uid });
    bundle.set("/process/capabilities", sets).set("/process/user", user).args(["caps"])
}

#[test]
fn one_set_at_a_time() {
    let sandbox = sandbox!();
    let only = |set: &str| json!({ set: ["CAP_CHOWN", "CAP_KILL"] });
    let two = CHOWN | KILL;
    // For root an execve makes permitted and effective what is bounding or inheritable; no_new_privs keeps it from
    // gaining what it did not have. A user without capabilities keeps the ambient set alone.
    for (set, gains, root, user) in [
        ("bounding", false, [0, 0, 0, two, 0], [0, 0, 0, two, 0]),
        ("bounding", true, [0, two, two, two, 0], [0, 0, 0, two, 0]),
        ("permitted", true, [0; 5], [0; 5]),
        ("effective", true, [0; 5], [0; 5]),
        ("inheritable", false, [two, 0, 0, 0, 0], [two, 0, 0, 0, 0]),
        ("ambient", true, [0; 5], [0; 5]),
    ] {
        for (uid, expected) in [(0, root), (1000, user)] {
            let bundle = with(sandbox.bundle("c"), uid, only(set)).set("/process/noNewPrivileges", !gains);
            let out = bundle.run().ok();
            assert_eq!(seen(&out), expected, "{set} as {uid}: {}", out.report());
        }
    }
}

#[test]
fn the_ambient_set_needs_the_permitted_and_the_inheritable() {
    let sandbox = sandbox!();
    let list = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"];
    let sets = json!({ "bounding": list, "permitted": ["CAP_CHOWN", "CAP_KILL"], "inheritable": ["CAP_KILL", "CAP_SETUID"],
        "effective": ["CAP_KILL"], "ambient": list });
    let out = with(sandbox.bundle("c"), 1000, sets).run().ok();
    assert_eq!(seen(&out), [KILL | SETUID, KILL, KILL, CHOWN | KILL | SETUID, KILL], "{}", out.report());
}

#[test]
fn a_user_has_nothing_but_the_bounding_set() {
    let sandbox = sandbox!();
    let list = ["CAP_CHOWN", "CAP_NET_RAW"];
    let sets = json!({ "bounding": list, "permitted": list, "effective": list });
    let out = with(sandbox.bundle("c"), 1000, sets).run().ok();
    assert_eq!(seen(&out), [0, 0, 0, CHOWN | NET_RAW, 0]);
}

#[test]
fn absent_means_none() {
    let sandbox = sandbox!();
    for uid in [0, 1000] {
        let bundle = with(sandbox.bundle("c"), uid, json!({})).edit(|spec| {
            spec["process"].as_object_mut().expect("process").remove("capabilities");
        });
        let out = bundle.set("/process/noNewPrivileges", false).run().ok();
        assert_eq!(seen(&out), [0; 5], "{}", out.report());
    }
}

#[test]
fn an_unknown_one_is_a_warning() {
    let sandbox = sandbox!();
    for name in ["CAP_FROM_THE_FUTURE", "CHOWN", "cap_chown", ""] {
        let list = json!(["CAP_KILL", name]);
        let sets = json!({ "bounding": list, "permitted": list, "effective": list });
        let out = with(sandbox.bundle("c"), 0, sets).run().ok();
        let found = seen(&out);
        assert_eq!(found[3] & !CHOWN, KILL, "{}", out.report());
        if name == "CAP_FROM_THE_FUTURE" {
            assert_eq!(found, [0, KILL, KILL, KILL, 0], "{}", out.report());
            assert!(out.stderr().contains("CAP_FROM_THE_FUTURE"), "{}", out.report());
        }
    }
}

#[test]
fn an_unknown_one_that_nothing_asks_for_is_an_error() {
    let sandbox = sandbox!();
    let newest = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").expect("procfs");
    if newest.trim().parse::<u32>().expect("a number") > 40 {
        rt_integration::skip!("this kernel has capabilities that rt does not know");
    }
    let sets = json!({ "bounding": ["CAP_KILL", "CAP_KLIL"], "permitted": ["CAP_KILL"] });
    let out = with(sandbox.bundle("c"), 0, sets).run();
    out.fails_with("process.capabilities.bounding: unknown capability \"CAP_KLIL\", in no other set");
}

#[test]
fn an_ungrantable_one_is_a_warning() {
    let sandbox = sandbox!();
    let mut call = std::process::Command::new(sandbox.probe());
    let own = String::from_utf8(call.arg("caps").output().expect("the probe").stdout).expect("UTF-8");
    let bounding = own.lines().find_map(|line| line.strip_prefix("CapBnd:\t")).expect("a line");
    let bounding = u64::from_str_radix(bounding, 16).expect("hex");
    let names = ["CAP_SYS_RESOURCE", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_BOOT", "CAP_AUDIT_CONTROL"];
    let numbers = [24, 16, 17, 22, 30];
    let missing = names.iter().zip(numbers).find(|(_, number)| bounding & 1 << number == 0);
    let Some((missing, _)) = missing else { rt_integration::skip!("this root has every capability") };
    let list = json!(["CAP_KILL", missing]);
    let sets = json!({ "bounding": list, "permitted": list, "effective": list, "inheritable": list, "ambient": list });
    let out = with(sandbox.bundle("c"), 1000, sets).run().ok();
    assert_eq!(seen(&out), [KILL, KILL, KILL, KILL, KILL], "{}", out.report());
    assert!(out.stderr().contains(missing), "{}", out.report());
}

#[test]
fn nothing_ambient_is_inherited_from_the_caller() {
    let sandbox = sandbox!();
    // CVE-2016-8867: a caller with ambient capabilities must not hand them to a container that asks for none.
    let list = ["CAP_CHOWN"];
    let bundle = with(sandbox.bundle("c"), 1000, json!({ "bounding": list, "permitted": list, "effective": list }));
    bundle.write();
    let plain = sandbox.command(["run", "--bundle", bundle.dir.to_str().expect("UTF-8"), "c"]);
    let mut call = std::process::Command::new("setpriv");
    call.args(["--inh-caps", "+chown,+kill", "--ambient-caps", "+chown,+kill"]).arg(plain.get_program());
    call.args(plain.get_args()).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    if std::process::Command::new("setpriv").arg("--version").output().is_err() {
        rt_integration::skip!("no setpriv");
    }
    let out = sandbox.finish(call).ok();
    assert_eq!(seen(&out), [0, 0, 0, CHOWN, 0], "{}", out.report());
}

#[test]
fn exec_adds_to_three_sets_and_never_to_the_inheritable() {
    let sandbox = sandbox!();
    let bundle = sandbox.bundle("c").set("/process/noNewPrivileges", false).args(["pause"]);
    bundle.run_with(&["--detach"]).ok();
    let exec = |flags: &[&str]| {
        let words: Vec<_> = ["exec"].iter().chain(flags).chain(&["c", "/bin/probe", "caps"]).copied().collect();
        sandbox.rt(words)
    };
    let default = KILL | 1 << 10 | 1 << 29;
    let out = exec(&[]).ok();
    assert_eq!(seen(&out), [0, default, default, default, 0], "{}", out.report());
    let out = exec(&["--cap", "CAP_NET_RAW"]);
    if out.stderr().contains("not supported") {
        bundle.delete_force().ok();
        rt_integration::skip!("exec --cap: {}", out.stderr().trim_end());
    }
    let all = default | NET_RAW;
    assert_eq!(seen(&out.ok())[..], [0, all, all, all, 0]);
    // CVE-2022-29162: for a user the same leaves nothing but a wider bound.
    assert_eq!(seen(&exec(&["--cap", "CAP_NET_RAW", "--user", "1000"]).ok()), [0, 0, 0, all, 0]);
    bundle.delete_force().ok();
}

#[test]
fn the_default_spec_has_nothing_inheritable() {
    let sandbox = sandbox!();
    let dir = sandbox.dir();
    sandbox.rt(["spec", "--bundle", dir.to_str().expect("UTF-8")]).ok();
    let text = std::fs::read(dir.join("config.json")).expect("config.json");
    let spec: Value = serde_json::from_slice(&text).expect("JSON");
    for set in ["inheritable", "ambient"] {
        let list = &spec["process"]["capabilities"][set];
        assert!(list.is_null() || list == &json!([]), "{set}: {list}");
    }
}
