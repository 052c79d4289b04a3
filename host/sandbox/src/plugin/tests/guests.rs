//! Guests in Rust, which the tests build.

use std::path::Path;
use std::process::Command;

/// Builds the guest in a folder of `tests/guests`, and returns the component.
pub(in crate::plugin::tests) fn built(name: &str) -> Vec<u8> {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().unwrap().with_file_name("guests-of-sandbox");
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests");
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--locked"])
        .args(["--target", "wasm32-wasip2"])
        .current_dir(guests.join(name))
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .expect("cargo starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    std::fs::read(target.join(format!("wasm32-wasip2/release/{name}.wasm"))).unwrap()
}
