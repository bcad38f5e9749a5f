//! What a fuzzer calls (`fuzz/`, `make fuzz-smoke`): one function per kind of input, which panics where rt breaks a promise.
//!
//! Each holds rt against an oracle where there is one: a naive reading of the same bytes, a way back, a property that
//! every plan has. Only tests and fuzzers have this module; the seeds of `fuzz/seeds` are also inputs of a unit test.

mod channel;
mod choices;
mod config;
mod image;
mod names;
mod position;
mod resources;
mod state;

pub use channel::channel;
pub use choices::{Chance, Choices, Random};
pub use config::config;
pub use image::image;
pub use names::names;
pub use resources::resources;
pub use state::state;

/// A seccomp profile: what the compiler makes of it, by rt's emulator, and what the profile itself says.
pub fn seccomp(data: &[u8]) {
    crate::seccomp::meaning::fuzz(data);
}

/// A target's name, and what it does with its input.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: &[Target] = &[
    ("image", image),
    ("channel", channel),
    ("seccomp", seccomp),
    ("config", config),
    ("resources", resources),
    ("names", names),
    ("state", state),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    /// The seeds, and a few thousand inputs made of them: what a fuzzer would begin with.
    #[test]
    fn seeds_find_nothing() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut all = Vec::new();
        for (name, target) in TARGETS {
            let mut seeds: Vec<Vec<u8>> = vec![Vec::new()];
            for dir in fs::read_to_string(root.join("fuzz/seeds.txt")).expect("seeds.txt").lines() {
                let Some((_, dir)) = dir.split_once(' ').filter(|(of, _)| of == name) else { continue };
                let files = fs::read_dir(root.join(dir)).unwrap_or_else(|error| panic!("{dir}: {error}"));
                let files = files.filter_map(|file| Some(file.ok()?.path()).filter(|path| path.is_file()));
                seeds.extend(files.map(|path| fs::read(path).expect("a seed")));
            }
            assert!(seeds.len() > 1, "{name} has no seeds");
            let mut random = Random(0x5eed);
            let made = seeds.iter().flat_map(|seed| {
                let changes: Vec<_> = (0..40).map(|_| changed(seed, &mut random)).collect();
                std::iter::once(seed.clone()).chain(changes)
            });
            let found = made.filter(|data| std::panic::catch_unwind(|| target(data)).is_err()).take(3);
            all.extend(found.map(|data| format!("{name} of {:?}", data.escape_ascii().to_string())));
        }
        assert!(all.is_empty(), "{}", all.join("\n"));
    }

    /// The seed with a few bytes changed, cut out or put in.
    fn changed(seed: &[u8], random: &mut Random) -> Vec<u8> {
        let mut data = seed.to_vec();
        for _ in 0..1 + random.below(4) {
            let at = random.below(data.len() + 1);
            match random.below(4) {
                0 => data.truncate(at),
                1 => data.insert(at, random.next() as u8),
                2 => drop(data.drain(at..(at + random.below(9)).min(seed.len()).max(at).min(data.len()))),
                _ if at < data.len() => data[at] = random.next() as u8,
                _ => data.extend((0..random.below(40)).map(|_| random.next() as u8)),
            }
        }
        data
    }
}
