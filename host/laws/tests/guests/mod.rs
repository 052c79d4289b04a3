//! Builds the components of `lawless` and `faithless`, once per test program.

#![allow(dead_code, reason = "each test uses some of it")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use cairn::plugin::{InProcess, PluginConfig, Plugins};
use cairn_laws::Tools;

/// Returns the path of a component of `lawless`: `lawless.wasm`, or `examples/NAME.wasm`.
pub fn component(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let build = || built("lawless", &["--lib", "--examples"]);
    FOLDER.get_or_init(build).join(name)
}

/// Returns the path of the component of `faithless`, an external.
pub fn external() -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let build = || built("faithless", &["--lib"]);
    FOLDER.get_or_init(build).join("faithless.wasm")
}

/// Builds a crate of this folder; returns the folder of the components.
fn built(name: &str, what: &[&str]) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests");
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--locked"])
        .args(what)
        .args(["--target", "wasm32-wasip2"])
        .current_dir(folder.join(name))
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .expect("cargo starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    target.join("wasm32-wasip2/release")
}

pub fn tools() -> Tools {
    Tools {
        plugins: Plugins::new(&PluginConfig {
            compiler: Some(Arc::new(InProcess)),
            ..cairn::plugin_config()
        })
        .unwrap(),
        builtins: cairn_bundle::PLUGINS.to_vec(),
        domains: Vec::new(),
        folder: std::env::temp_dir(),
    }
}
