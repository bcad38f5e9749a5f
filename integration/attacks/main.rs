//! Published attacks on container runtimes, as black-box tests: what an image, a process of a running container or a
//! shared volume can do to get out. Attacks that need no racing are beside the feature that they abuse, in `tests/`
//! (`evil_rootfs`, `capabilities`, `user`, `devices`, `no_mount_namespace`).

mod binary;
mod cgroups;
mod exec;
mod filter;
mod image;
mod index;
mod joining;
mod neighbours;
mod procfs;
mod strings;
mod swap;
mod victim;

/// How often an attack that depends on luck is tried: `natively`, and less where a start takes a second.
fn tries(natively: u32) -> u32 {
    let slow = std::env::var("RT_TEST_SLOW").ok().and_then(|text| text.parse::<u32>().ok()).unwrap_or(1);
    natively.div_ceil(slow.max(1))
}
