//! Builds the built-in plugins as components and generates the table that embeds them.

use std::fmt::{Display, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

/// A target without WASI: the built-in plugins do not need it, and each WASI import would slow down every call.
const TARGET: &str = "wasm32-unknown-unknown";

/// In the order of the volume-create flow, followed by the plugin of `cairn init`'s first flow. Crates and plugins have the same names.
const PLUGINS: [&str; 8] = [
    "inject",
    "extract-volume-request",
    "quota-reserve",
    "entry-create",
    "quota-commit",
    "on-failure-change-status",
    "volume-cast",
    "greet",
];

/// Keeps instances cheap: the host keeps a small memory resident between calls, and growing it during a call costs more than the call. A
/// stack of 128 KiB holds the deepest JSON that serde parses; the rest of the 256 KiB is for the values of a request.
const RUSTFLAGS: &str = "-Clink-arg=-zstack-size=131072 -Clink-arg=--initial-memory=262144";

/// Release settings for speed. They are set here because the workspace's profile is the host's.
const PROFILE: [&str; 5] = [
    "opt-level=3",
    "lto=true",
    "codegen-units=1",
    "panic='abort'",
    "strip=true",
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // Cargo prints the indented standard error of a failing build script, so the lines are short.
            eprintln!("error: the built-in plugins were not built\n{message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let workspace = workspace()?;
    watch(&workspace);

    let out = PathBuf::from(variable("OUT_DIR")?);
    let guests = guests(&out)?;
    let mut table = String::from("&[\n");
    for plugin in PLUGINS {
        build(&workspace, &guests, plugin)?;
        let file = format!("{}.wasm", plugin.replace('-', "_"));
        let built = guests.join(TARGET).join("release").join(&file);
        let failed = |error: &dyn Display| format!("{}: {error}", built.display());
        let module = fs::read(&built).map_err(|error| failed(&error))?;
        let component = component(&module).map_err(|error| failed(&error))?;
        fs::write(out.join(&file), component).map_err(|error| failed(&error))?;
        let _ = writeln!(
            table,
            "    ({plugin:?}, include_bytes!({:?}).as_slice()),",
            out.join(&file)
        );
    }
    table.push(']');
    fs::write(out.join("plugins.rs"), table).map_err(|error| format!("{}: {error}", out.display()))
}

/// Returns the root of the workspace that contains this crate.
fn workspace() -> Result<PathBuf, String> {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let root = here
        .ancestors()
        .nth(2)
        .ok_or("this crate is not at `plugins/bundle` of its workspace")?;
    Ok(root.to_path_buf())
}

/// Reruns the build script when any source of the plugins changes.
fn watch(workspace: &Path) {
    println!("cargo:rerun-if-changed=build.rs");
    let mut sources: Vec<_> = ["wit", "Cargo.toml", "Cargo.lock", "rust-toolchain.toml"]
        .iter()
        .map(|path| workspace.join(path))
        .collect();
    for plugin in PLUGINS.iter().chain(&["sdk"]) {
        let plugin = workspace.join("plugins").join(plugin);
        sources.extend([plugin.join("src"), plugin.join("Cargo.toml")]);
    }
    for source in sources {
        println!("cargo:rerun-if-changed={}", source.display());
    }
}

/// Returns the target folder for the guests, beside the profile folders of the current build, because Cargo locks the one that it builds
/// into. It persists between builds, so that only changes are compiled.
fn guests(out: &Path) -> Result<PathBuf, String> {
    // OUT_DIR is `<target>[/<triple>]/<profile>/build/<package>-<hash>/out`.
    let profile = out
        .ancestors()
        .nth(3)
        .ok_or_else(|| format!("OUT_DIR is in no target folder: {}", out.display()))?;
    let parent = profile.parent().unwrap_or(profile);
    let crosses = parent
        .file_name()
        .is_some_and(|name| env::var("TARGET").is_ok_and(|triple| name == triple.as_str()));
    let target = if crosses {
        parent.parent().unwrap_or(parent)
    } else {
        parent
    };
    Ok(target.join("guests"))
}

/// Builds one plugin, only as a `cdylib`: a crate that is also built as a library gets no link-time optimization.
fn build(workspace: &Path, guests: &Path, plugin: &str) -> Result<(), String> {
    let mut cargo = Command::new(variable("CARGO")?);
    forget_this_build(&mut cargo);
    cargo.current_dir(workspace).args([
        "rustc",
        "--lib",
        "--crate-type",
        "cdylib",
        "--package",
        plugin,
    ]);
    cargo
        .args(["--release", "--target", TARGET])
        .arg("--target-dir")
        .arg(guests);
    for setting in PROFILE {
        cargo
            .arg("--config")
            .arg(format!("profile.release.{setting}"));
    }
    cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", RUSTFLAGS);

    let output = cargo
        .output()
        .map_err(|error| format!("cargo could not be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let log = String::from_utf8_lossy(&output.stderr);
    if log.contains("can't find crate for `core`") || log.contains("can't find crate for `std`") {
        return Err(format!(
            "the target {TARGET} is not installed\nhelp: run `rustup target add {TARGET}`"
        ));
    }
    Err(format!("{cargo:?} failed:\n{log}"))
}

/// Converts a core module to a component. `wit-bindgen` has embedded the types of its imports and exports in the module.
fn component(module: &[u8]) -> Result<Vec<u8>, String> {
    let encoder = wit_component::ComponentEncoder::default().validate(true);
    let component = encoder
        .module(module)
        .and_then(|mut encoder| encoder.encode());
    component.map_err(|error| format!("{error:#}"))
}

/// Removes the environment variables with which Cargo describes the current build, and flags meant for it: flags for the host's linker, a
/// wrapper such as Clippy's driver, a coverage option.
fn forget_this_build(cargo: &mut Command) {
    // User settings for the registry and the toolchain also apply to the guests.
    const KEPT: [&str; 5] = [
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTRIES_",
        "CARGO_REGISTRY_",
    ];
    const DROPPED: [&str; 6] = [
        "RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_LINKER",
        "CLIPPY_ARGS",
        "OUT_DIR",
    ];
    for (name, _) in env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let cargos = text.starts_with("CARGO_") && !KEPT.iter().any(|kept| text.starts_with(kept));
        if cargos || DROPPED.contains(&text) {
            cargo.env_remove(name);
        }
    }
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name)
        .map_err(|_| format!("{name} is not set; this is a build script, to be run by cargo"))
}
