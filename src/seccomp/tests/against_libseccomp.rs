//! The same answers as the programs that libseccomp made of the same profiles (integration/seccomp/oracle.py).

use super::super::default_profile::for_abi;
use super::*;

const ABIS: [Abi; 3] = [Abi::X86_64, Abi::I386, Abi::X32];
const ENOSYS: u32 = 0x0005_0026;

/// The instructions of a `.bpf` file.
fn program(text: &str) -> Vec<sock_filter> {
    let instruction = |line: &str| {
        let mut field = line.split([' ', ',']).map(|f| u32::from_str_radix(f, 16).expect("hexadecimal"));
        let mut next = || field.next().expect("four fields");
        sock_filter { code: next() as u16, jt: next() as u8, jf: next() as u8, k: next() }
    };
    text.lines().filter(|line| !line.starts_with('#')).map(instruction).collect()
}

/// Compares two programs on every number up to the newest that the profile names, and ours with ENOSYS on those above
/// where the profile's default action does not let calls pass. Returns the number of comparisons, and of those where
/// libseccomp's answer is another: ours must then be what the profile says.
fn compare(
    profile: &Value,
    ours: &[sock_filter],
    theirs: &[sock_filter],
    samples: usize,
    random: &mut Random,
) -> (usize, usize) {
    let (values, indices) = (boundaries(profile), compared(profile));
    let listed = |name: &str| profile["architectures"].as_array().unwrap().iter().any(|a| a == name);
    let lets_pass = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"].iter().any(|a| profile["defaultAction"] == *a);
    let (mut done, mut differ) = (0, 0);
    for abi in ABIS {
        let here = abi == Abi::X86_64 || listed(if abi == Abi::X32 { "SCMP_ARCH_X32" } else { "SCMP_ARCH_X86" });
        let newest = newest(profile, abi);
        let end = newest.map_or(abi.base() + 500, |newest| newest + 1);
        let mut check = |number, args| {
            let (a, b) = (answer(ours, abi, number, args), answer(theirs, abi, number, args));
            if a != b {
                let means = meaning(profile, abi, number, &args);
                assert_eq!(a, means, "{abi:?} {number:#x} {args:x?}: libseccomp's {b:#x}\n{profile}");
                differ += 1;
            }
            done += 1;
        };
        for number in abi.base()..end {
            check(number, [0; 6]);
            // Where an answer depends on arguments, all of them are tried; one alone would miss what others hide.
            let multiplexed = abi == Abi::I386 && [102, 117].contains(&number);
            let first: &[u64] =
                if multiplexed { &[0, 1, 2, 3, 4, 5, 11, 18, 20, 21, 22, 23, 24, 25, 41] } else { &values };
            if indices.len() == 1 || multiplexed {
                first.iter().for_each(|&v| check(number, [v, 0, 0, 0, 0, 0]));
            }
            for _ in 0..samples {
                let mut args = [0; 6];
                indices.iter().for_each(|&i| args[i] = random.one(if i == 0 { first } else { &values }));
                check(number, args);
            }
        }
        for number in [end, end + 1, end + 100, abi.base() + 5000] {
            let want = match (here, newest) {
                (true, Some(newest)) if !lets_pass && number > newest => ENOSYS,
                _ => answer(theirs, abi, number, [0; 6]),
            };
            assert_eq!(answer(ours, abi, number, [0; 6]), want, "{abi:?} {number:#x}\n{profile}");
        }
    }
    for foreign in [Abi::Aarch64, Abi::Arm] {
        assert_eq!(answer(ours, foreign, 0, [0; 6]), answer(theirs, foreign, 0, [0; 6]));
    }
    (done, differ)
}

fn engine(profile: &Value, file: &str) {
    let (ours, theirs) = (compiled(profile).unwrap().program, program(&checked_in(file)));
    let (done, differ) = compare(profile, &ours, &theirs, 2000, &mut Random(7));
    println!("{file}: {done} answers are equal; {} instructions against {}", ours.len(), theirs.len());
    assert!(done > 1_000_000 && differ == 0);
}

#[test]
fn docker() {
    // Without the template our own table of the same profile has to give libseccomp's answers.
    let own = || serde_json::to_value(for_abi(Abi::X86_64, &DOCKER_CAPS)).unwrap();
    let profile = template("docker").map_or_else(own, |template| resolve(&template, "amd64", &DOCKER_CAPS));
    engine(&profile, "docker.bpf");
}

#[test]
fn podman() {
    let Some(template) = template("podman") else {
        println!("without Podman's template only the other profiles are compared");
        return;
    };
    engine(&resolve(&template, "amd64", &PODMAN_CAPS), "podman.bpf");
}

/// Lines of random.jsonl of which libseccomp made a program that does not do what they say.
const WRONG: &[usize] = &[2, 6, 25, 39, 45];

#[test]
fn random_profiles() {
    let mut random = Random(11);
    let (mut equal, mut wrong, mut refused, mut refused_by_them) = (0, Vec::new(), 0, 0);
    for (i, line) in checked_in("random.jsonl").lines().enumerate() {
        let line: Value = serde_json::from_str(line).unwrap();
        let mut profile = line["profile"].clone();
        profile["listenerPath"] = "/run/agent.sock".into();
        match (compiled(&profile), line["program"].as_str()) {
            (Ok(ours), Some(theirs)) => {
                let theirs = program(&theirs.replace(' ', "\n"));
                match compare(&profile, &ours.program, &theirs, 30, &mut random) {
                    (_, 0) => equal += 1,
                    _ => wrong.push(i + 1),
                }
            }
            (Err(e), None) => {
                assert!(e.to_string().contains("contradicts"), "{e}");
                refused += 1;
            }
            // A shorter rule after a longer one with another action, which has a meaning all the same.
            (Ok(_), None) => refused_by_them += 1,
            (Err(e), Some(_)) => panic!("libseccomp takes what we refuse: {e}\n{profile}"),
        }
    }
    println!("{equal} equal, {refused} refused by both, {refused_by_them} by libseccomp alone");
    assert_eq!(wrong, WRONG);
    assert!(equal >= 80 && refused >= 1 && refused_by_them <= 3);
}
