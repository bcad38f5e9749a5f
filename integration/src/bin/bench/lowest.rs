//! The smallest `memory.max` in which a container's `/bin/true` starts: what a runtime's init costs inside the limit.

use crate::contenders::Runtime;
use crate::timer::Timer;
use rt_integration::Sandbox;
use serde_json::json;

const KIB: u64 = 1024;
/// The kernel charges in batches, so the edge is not sharp: a limit holds if that many starts in a row succeed.
const TRIES: usize = 5;

/// Prints a line for each runtime.
pub fn print(sandbox: &Sandbox, runtimes: &[Runtime]) {
    let mut timer = Timer::quiet();
    for runtime in runtimes {
        let mut starts = |limit: u64| {
            let memory = json!({ "limit": limit * KIB, "swap": limit * KIB });
            let bundle = sandbox
                .bundle("low")
                .set("/linux/resources/memory", memory)
                .set("/process/args", ["/bin/true"].to_vec());
            bundle.write();
            let call = runtime.call(&["run".as_ref(), "--bundle".as_ref(), &bundle.dir, "low".as_ref()]);
            (0..TRIES).all(|_| timer.time(&call).is_some())
        };
        let (mut low, mut high) = (0, 64 * KIB);
        while high - low > 4 {
            let middle = (low + high) / 8 * 4;
            if starts(middle) { high = middle } else { low = middle }
        }
        println!("{:<26} starts within {high} KiB of memory", runtime.name);
    }
}
