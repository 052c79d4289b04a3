//! Builds the components of `lawless`, once per test program.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use cairn::plugin::{InProcess, PluginConfig, Plugins};
use cairn_laws::Tools;

/// Returns the path of a component: `lawless.wasm`, or `examples/NAME.wasm`.
pub fn component(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--release", "--locked", "--lib", "--examples"])
            .args(["--target", "wasm32-wasip2"])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests/lawless"))
            .env("CARGO_TARGET_DIR", &target)
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .output()
            .expect("cargo starts");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        target.join("wasm32-wasip2/release")
    };
    FOLDER.get_or_init(build).join(name)
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
