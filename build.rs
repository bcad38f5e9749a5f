//! What the compiler is told beside the code: the commit for `--version`, and where the linker puts hot functions.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=src/sys/hot.ld");
    println!("cargo::rerun-if-changed=.git/HEAD");
    let head = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    if let Ok(head) = head
        && head.status.success()
    {
        println!("cargo::rustc-env=RT_COMMIT={}", String::from_utf8_lossy(&head.stdout).trim());
    }
    let is = |key: &str, value: &str| std::env::var(key).is_ok_and(|found| found == value);
    if is("CARGO_CFG_TARGET_ENV", "musl") {
        // What really runs lies together (hot.ld), and few segments make few page faults.
        let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo::rustc-link-arg-bin=rt=-Wl,-T,{root}/src/sys/hot.ld,-z,noseparate-code,-z,norelro");
        // For `make hot`. Any other way to ask for it would change the numbers that constants have.
        println!("cargo::rerun-if-env-changed=RT_LINK_MAP");
        if let Ok(map) = std::env::var("RT_LINK_MAP") {
            println!("cargo::rustc-link-arg-bin=rt=-Wl,-Map={map}");
        }
    }
    let features = std::env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    if is("PROFILE", "release") && !features.split(',').any(|feature| feature == "crt-static") {
        println!("cargo::warning=linked dynamically, rt starts several times as slowly; `make build` makes it static");
    }
}
