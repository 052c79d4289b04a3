//! Builds the Rust plugins of the repository as their READMEs say.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::repository;

/// Builds the plugin in a folder of the repository, in a separate target folder beside the `program` under test, and returns the folder of
/// the components.
pub fn build(folder: &str, program: &str) -> PathBuf {
    let target = Path::new(program).with_file_name("examples");
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--locked"])
        .args(["--target", "wasm32-wasip2"])
        .current_dir(repository(folder))
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .expect("cargo starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    target.join("wasm32-wasip2/release")
}
