//! BPF programs of containers, by the kernel's list: one that nobody holds goes with its cgroup, so any that is left has
//! been forgotten somewhere.

use rt_integration::device_programs;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The ids of those that are loaded now.
pub fn loaded() -> BTreeSet<u32> {
    device_programs()
}

/// What has come to these and stays, once the kernel has let go of what is not used. Others of the host come and go.
pub fn more_than(before: &BTreeSet<u32>) -> Option<String> {
    let until = Instant::now() + Duration::from_secs(20);
    let mut left = &loaded() - before;
    while !left.is_empty() {
        if Instant::now() > until {
            return Some(format!("device programs are left: {left:?}"));
        }
        left = &left & &loaded();
        std::thread::yield_now();
    }
    None
}
