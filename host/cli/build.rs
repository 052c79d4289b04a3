//! Embeds the files that `cairn plugin new` and `cairn init` write: the templates, the contract, the SDK with its lock file and toolchain,
//! the example of volume creation, and the parts of WASI that an external in Python needs.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), String> {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let root = here.ancestors().nth(2);
    let root = root.ok_or("this crate is not at `host/cli` of its workspace")?;
    let out = PathBuf::from(variable("OUT_DIR")?);

    let mut files = Vec::new();
    for (name, folder) in [
        ("templates", here.join("templates")),
        ("wit", root.join("wit")),
        ("sdk/src", root.join("plugins/sdk/src")),
    ] {
        println!("cargo:rerun-if-changed={}", folder.display());
        walk(&folder, name, &mut files)?;
    }
    for name in [
        "Cargo.lock",
        "rust-toolchain.toml",
        "examples/volume-create/flow.toml",
        "examples/volume-create/request.json",
        "examples/dns-record/pdns-python/wit/deps/clocks.wit",
        "examples/dns-record/pdns-python/wit/deps/http.wit",
        "examples/dns-record/pdns-python/wit/deps/io.wit",
    ] {
        println!("cargo:rerun-if-changed={}", root.join(name).display());
        files.push((name.to_owned(), root.join(name)));
    }
    let manifest = out.join("sdk-cargo.toml");
    write(&manifest, &sdk_manifest(root)?)?;
    files.push(("sdk/Cargo.toml".to_owned(), manifest));

    files.sort();
    let mut table = String::from("&[\n");
    for (name, path) in files {
        let _ = writeln!(table, "    ({name:?}, include_str!({path:?})),");
    }
    table.push(']');
    write(&out.join("embedded.rs"), &table)
}

/// Collects the files of a folder, by their names below it.
fn walk(folder: &Path, name: &str, files: &mut Vec<(String, PathBuf)>) -> Result<(), String> {
    let fail = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{name}/{file}");
        if path.is_dir() {
            walk(&path, &name, files)?;
        } else {
            files.push((name, path));
        }
    }
    Ok(())
}

/// Returns the SDK's manifest with the workspace's values in place of `workspace = true`, so that it builds outside of the workspace.
fn sdk_manifest(root: &Path) -> Result<String, String> {
    let workspace = read(&root.join("Cargo.toml"))?;
    let mut manifest = String::new();
    for line in read(&root.join("plugins/sdk/Cargo.toml"))?.lines() {
        let line = match line.strip_suffix(".workspace = true") {
            Some(key) => value_of(&workspace, key)?,
            None => line,
        };
        manifest.push_str(line);
        manifest.push('\n');
    }
    if manifest.contains("workspace") {
        return Err(format!(
            "write `KEY.workspace = true`, a line each:\n{manifest}"
        ));
    }
    Ok(manifest)
}

/// Returns the line of the workspace's manifest that sets `key`.
fn value_of<'t>(workspace: &'t str, key: &str) -> Result<&'t str, String> {
    workspace
        .lines()
        .find(|line| {
            line.strip_prefix(key)
                .is_some_and(|rest| rest.trim_start().starts_with('='))
        })
        .ok_or_else(|| format!("the workspace's Cargo.toml does not say what `{key}` is"))
}

fn read(path: &Path) -> Result<String, String> {
    println!("cargo:rerun-if-changed={}", path.display());
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name)
        .map_err(|_| format!("{name} is not set; this is a build script, to be run by cargo"))
}
