//! Our default profile answers as Docker's template, whatever the capabilities.

use super::super::default_profile::for_abi;
use super::super::{compile, default_profile, emulate};
use super::*;

const SETS: &[&[&str]] = &[
    &[],
    &DOCKER_CAPS,
    &PODMAN_CAPS,
    &["CAP_SYS_ADMIN"],
    &["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_MODULE", "CAP_SYSLOG", "CAP_BPF"],
    &["CAP_SYS_TIME", "CAP_SYS_NICE", "CAP_SYS_RAWIO", "CAP_SYS_BOOT", "CAP_SYS_PACCT"],
    &["CAP_DAC_READ_SEARCH", "CAP_SYS_TTY_CONFIG", "CAP_PERFMON", "CAP_SYS_CHROOT"],
];

/// The machines, what Docker calls them, and the ABIs of each.
const MACHINES: [(Abi, &str, &[Abi]); 2] =
    [(Abi::X86_64, "amd64", &[Abi::X86_64, Abi::I386, Abi::X32]), (Abi::Aarch64, "arm64", &[Abi::Aarch64, Abi::Arm])];

/// A digest of a program's answers on all numbers and on argument values at all boundaries (FNV-1a).
fn digest(program: &[sock_filter], abis: &[Abi], values: &[u64]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for &abi in abis {
        let numbers = (0..700).chain(0xefff0..0xf0020).chain([0x3fff_ffff]).map(|n| n + abi.base());
        for number in numbers {
            for &value in values {
                let data = emulate::Data { number, arch: abi.audit_arch(), args: [value, value, 0, 0, 0, 0] };
                for byte in emulate::run(program, &data).unwrap().to_le_bytes() {
                    hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
                }
            }
        }
    }
    hash
}

#[test]
fn equals_dockers_template() {
    let template = template("docker");
    let mut digests = String::new();
    for (native, arch, abis) in MACHINES {
        for granted in SETS {
            let ours = serde_json::to_value(for_abi(native, granted)).unwrap();
            let program = compile_for(native, &parse(&ours), &mut Vec::new()).unwrap().program;
            let values = boundaries(&ours);
            digests += &format!("{arch} {:016x} {}\n", digest(&program, abis, &values), granted.join(","));
            let Some(template) = &template else { continue };
            let theirs = compile_for(native, &parse(&resolve(template, arch, granted)), &mut Vec::new()).unwrap();
            for &abi in abis {
                for number in (0..700).chain(0xefff0..0xf0020).map(|n| n + abi.base()) {
                    for &value in &values {
                        let args = [value, value, 0, 0, 0, 0];
                        let (a, b) = (answer(&program, abi, number, args), answer(&theirs.program, abi, number, args));
                        assert_eq!(a, b, "{granted:?} {abi:?} {number:#x} {value:#x}");
                    }
                }
            }
        }
    }
    let expected = checked_in("default-profile.digests");
    assert_eq!(digests, expected, "a changed answer needs a changed file of digests:\n{digests}");
}

#[test]
fn names_only_calls_that_exist() {
    for (native, ..) in MACHINES {
        let mut warnings = Vec::new();
        compile_for(native, &for_abi(native, &["CAP_SYS_ADMIN", "CAP_SYS_TIME"]), &mut warnings).unwrap();
        assert_eq!(warnings, Vec::<String>::new());
    }
}

#[test]
fn lets_a_container_start() {
    let filter = compile(&default_profile(&DOCKER_CAPS), &mut Vec::new()).unwrap();
    assert_eq!(crate::seccomp::blocked(&filter, &[("capset", [0; 6]), ("execve", [0; 6])]), None);
}
