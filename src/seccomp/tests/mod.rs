//! Proofs of the compiler: against libseccomp's programs, against the meaning of random profiles, by example.

use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxSeccomp;
use seccompiler::sock_filter;
use serde_json::{Value, json};

use super::emulate::{Data, run};
use super::syscalls::{Abi, Call};
use super::{Filter, compile_for};

mod against_libseccomp;
mod against_meaning;
mod default_profile;
mod examples;

fn parse(profile: &Value) -> LinuxSeccomp {
    serde_json::from_value(profile.clone()).unwrap_or_else(|e| panic!("{e}: {profile}"))
}

/// Compiles for an x86_64 machine, whichever this one is.
fn compiled(profile: &Value) -> anyhow::Result<Filter> {
    let filter = compile_for(Abi::X86_64, &parse(profile), &mut Vec::new())?;
    assert_valid(&filter.program);
    Ok(filter)
}

fn answer(program: &[sock_filter], abi: Abi, number: u32, args: [u64; 6]) -> u32 {
    let data = Data { number, arch: abi.audit_arch(), args };
    run(program, &data).expect("the program is well-formed")
}

/// What the kernel checks of a program (bpf_check_classic, seccomp_check_filter).
fn assert_valid(program: &[sock_filter]) {
    assert!(!program.is_empty() && program.len() <= 4096);
    for (at, i) in program.iter().enumerate() {
        let left = program.len() - at - 1;
        match i.code {
            0x06 | 0x54 => {}
            0x20 => assert!(i.k % 4 == 0 && i.k < 64),
            0x05 => assert!((i.k as usize) < left),
            0x15 | 0x25 | 0x35 | 0x45 => assert!(usize::from(i.jt.max(i.jf)) < left),
            code => panic!("instruction {at} has code {code:#x}"),
        }
    }
    assert_eq!(program[program.len() - 1].code, 0x06);
}

fn checked_in(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("integration/seccomp").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A template of an engine, if the folder of public data is beside the project.
fn template(engine: &str) -> Option<Value> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let path = path.join(format!("{engine}-default-seccomp.json"));
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(serde_json::from_str(&text).expect("the template is JSON")),
        Err(e) => {
            println!("{}: {e}", path.display());
            None
        }
    }
}

/// An engine's template for one architecture (Go's name) and a set of capabilities, as the engine's loader does it.
/// Every `minKernel` in use is older than the kernels rt runs on.
fn resolve(template: &Value, arch: &str, caps: &[&str]) -> Value {
    let list = |entry: &Value, key: &str, what: &str| -> Vec<String> {
        let list = entry[key][what].as_array().cloned().unwrap_or_default();
        list.iter().map(|v| v.as_str().expect("a name").to_string()).collect()
    };
    let has = |cap: &String| caps.contains(&cap.as_str());
    let wanted = |entry: &&Value| {
        let arches = list(entry, "includes", "arches");
        (arches.is_empty() || arches.iter().any(|a| a == arch))
            && !list(entry, "excludes", "arches").iter().any(|a| a == arch)
            && list(entry, "includes", "caps").iter().all(has)
            && !list(entry, "excludes", "caps").iter().any(has)
    };
    let syscalls: Vec<_> = template["syscalls"].as_array().expect("syscalls").iter().filter(wanted).cloned().collect();
    let architectures = match arch {
        "arm64" => ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"].as_slice(),
        _ => ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"].as_slice(),
    };
    let mut profile = json!({
        "defaultAction": template["defaultAction"], "architectures": architectures, "syscalls": syscalls,
    });
    if let Some(errno) = template.get("defaultErrnoRet") {
        profile["defaultErrnoRet"] = errno.clone();
    }
    profile
}

const DOCKER_CAPS: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

const PODMAN_CAPS: [&str; 11] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Every argument value at which a comparison in the profile may change its mind, on either side, in both halves.
fn boundaries(profile: &Value) -> Vec<u64> {
    let mut values = vec![0, 1, u64::MAX, 1 << 32];
    for entry in profile["syscalls"].as_array().into_iter().flatten() {
        for arg in entry["args"].as_array().into_iter().flatten() {
            for v in [arg["value"].as_u64().unwrap(), arg["valueTwo"].as_u64().unwrap_or(0)] {
                values.extend([v, v.wrapping_sub(1), v.wrapping_add(1), v ^ (1 << 32), v ^ (1 << 63), !v]);
                values.extend([v & 0xffff_ffff, v | 0xffff_ffff, v ^ (1 << 31), v.wrapping_add(1 << 32)]);
            }
        }
    }
    values.sort_unstable();
    values.dedup();
    values
}

/// The indices of the arguments that a profile compares.
fn compared(profile: &Value) -> Vec<usize> {
    let mut indices = vec![0];
    for entry in profile["syscalls"].as_array().into_iter().flatten() {
        let args = entry["args"].as_array().into_iter().flatten();
        indices.extend(args.map(|arg| arg["index"].as_u64().unwrap() as usize));
    }
    indices.sort_unstable();
    indices.dedup();
    indices
}

/// The newest number a profile names, for one ABI. The name of a call that i386 also reaches through socketcall or ipc
/// names that one as well.
fn newest(profile: &Value, abi: Abi) -> Option<u32> {
    let entries = profile["syscalls"].as_array().into_iter().flatten();
    let names = entries.flat_map(|entry| entry["names"].as_array().into_iter().flatten());
    let calls = names.filter_map(|name| super::syscalls::lookup(name.as_str().unwrap()));
    let numbers = |call: Call| call.number(abi).into_iter().chain(call.multiplexed(abi).map(|(number, _)| number));
    calls.flat_map(numbers).max()
}

/// A small deterministic generator (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 16) as usize % n
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}
