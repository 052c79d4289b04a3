//! Builds the built-in plugins to components and writes the table that embeds them.

use std::fmt::{Display, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

/// Without WASI: the built-in plugins need none, and each import of WASI's would cost something at every call.
const TARGET: &str = "wasm32-unknown-unknown";

/// In the order of the volume-create flow, then that of `cairn init`'s first flow. The names of the crates and of the plugins are the same.
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

/// What keeps an instance cheap: the host keeps a small memory resident from one call to the next, and growing it during
/// a call costs more than the call. 128 KiB of stack hold the deepest JSON that serde reads; 256 KiB in all leave room
/// for the values of a request.
const RUSTFLAGS: &str = "-Clink-arg=-zstack-size=131072 -Clink-arg=--initial-memory=262144";

/// A release build for speed. Set here and not in the workspace's profile, which is the host's.
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
            // Cargo shows the standard error of a build script that fails, indented, so the lines are short.
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

/// The root of the workspace that holds this crate.
fn workspace() -> Result<PathBuf, String> {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let root = here
        .ancestors()
        .nth(2)
        .ok_or("this crate is not at `plugins/bundle` of its workspace")?;
    Ok(root.to_path_buf())
}

/// Builds again when anything changes that a plugin is made of.
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

/// A target folder of the guests' own, beside the folders of the build that runs this script: Cargo holds a lock on
/// the one that it builds into. Kept from build to build, so that only what changed is compiled.
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

/// Builds one plugin, as a component only: a crate that is a library as well is not optimised as a whole.
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

/// The component that a module is the core of: `wit-bindgen` left the types of its imports and exports in it.
fn component(module: &[u8]) -> Result<Vec<u8>, String> {
    let encoder = wit_component::ComponentEncoder::default().validate(true);
    let component = encoder
        .module(module)
        .and_then(|mut encoder| encoder.encode());
    component.map_err(|error| format!("{error:#}"))
}

/// Removes what Cargo tells a build script about the build that it belongs to, and the flags that are meant for it:
/// flags for the host's linker, a wrapper such as Clippy's driver, a coverage option.
fn forget_this_build(cargo: &mut Command) {
    // What a person sets to reach the registry, or to choose the toolchain, is for the guests as well.
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
