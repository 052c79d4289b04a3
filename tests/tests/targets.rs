//! Builds on a machine whose compiler lacks the WebAssembly targets: tests `.cargo/rustc`, which cargo calls instead of the compiler, with
//! a fake compiler and a fake rustup.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use acceptance::program::repository;

/// Prints the folder of a target's libraries, or its own environment, on request; otherwise only that it was called.
const COMPILER: &str = r#"#!/bin/bash
[ "$1" = --environment ] && exec /usr/bin/env
[ "$1 $2" = "--print target-libdir" ] && echo "$0.libraries/$4" || echo "compiled $*"
"#;

/// Adds targets to the compiler beside it.
const RUSTUP: &str = r#"#!/bin/sh
echo "$*" >> "$0.calls"
shift 2
[ "$1" = --toolchain ] && shift 2
for target in "$@"; do mkdir -p "${0%/*}/rustc.libraries/$target"; done
"#;

const NO_NETWORK: &str = "#!/bin/sh\necho 'error: could not download' >&2\nexit 1\n";

fn executable(path: &Path, text: &str) {
    fs::write(path, text).expect("the file can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it can be executable");
}

/// Creates a folder with a compiler without targets and, if given, a rustup.
fn machine(rustup: Option<&str>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    executable(&folder.path().join("rustc"), COMPILER);
    if let Some(rustup) = rustup {
        executable(&folder.path().join("rustup"), rustup);
    }
    // Other tools that the script needs.
    for tool in ["sed", "tr", "timeout", "mkdir"] {
        let found = ["/usr/bin", "/bin"].map(|bin| Path::new(bin).join(tool));
        let found = found.iter().find(|path| path.exists()).expect("coreutils");
        std::os::unix::fs::symlink(found, folder.path().join(tool)).expect("a link");
    }
    folder
}

/// Calls the compiler as cargo does.
fn call(machine: &Path, arguments: &[&str]) -> Output {
    Command::new("/bin/bash")
        .arg(repository(".cargo/rustc"))
        .arg(machine.join("rustc"))
        .args(arguments)
        .env_clear()
        .env("PATH", machine)
        .env("CARGO_BIN_EXE_a-b", "kept")
        .env("RUSTC", machine.join("rustc"))
        .env("RUSTUP_TOOLCHAIN", "9.9.9")
        .env("RUSTUP_AUTO_INSTALL", "0")
        .output()
        .expect("the script starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_first_call_of_a_build_installs_the_targets_that_are_missing() {
    let machine = machine(Some(RUSTUP));
    let output = call(machine.path(), &["-vV"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "compiled -vV\n");
    let calls = fs::read_to_string(machine.path().join("rustup.calls")).expect("it was called");
    assert_eq!(
        calls,
        "target add --toolchain 9.9.9 wasm32-unknown-unknown wasm32-wasip2\n"
    );
    // The targets are present now.
    call(machine.path(), &["-vV"]);
    let again = fs::read_to_string(machine.path().join("rustup.calls")).expect("it was called");
    assert_eq!(again, calls);
}

#[test]
fn a_target_that_was_removed_is_installed_when_a_guest_is_compiled() {
    let machine = machine(Some(RUSTUP));
    call(machine.path(), &["-vV"]);
    fs::remove_dir(machine.path().join("rustc.libraries/wasm32-wasip2")).expect("it was added");
    let output = call(machine.path(), &["a.rs", "--target", "wasm32-wasip2"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let calls = fs::read_to_string(machine.path().join("rustup.calls")).expect("it was called");
    assert!(
        calls.ends_with("target add --toolchain 9.9.9 wasm32-wasip2\n"),
        "{calls}"
    );
}

#[test]
fn what_is_compiled_for_this_machine_needs_no_target() {
    let machine = machine(None);
    let output = call(machine.path(), &["a.rs", "--crate-name", "a"]);
    assert_eq!(text(&output.stdout), "compiled a.rs --crate-name a\n");
}

#[test]
fn the_compiler_is_told_all_that_cargo_says() {
    let machine = machine(None);
    let output = call(machine.path(), &["--environment"]);
    let told = text(&output.stdout);
    assert!(
        told.lines().any(|line| line == "CARGO_BIN_EXE_a-b=kept"),
        "{told}"
    );
}

#[test]
fn a_build_that_cannot_have_the_targets_ends_at_once_and_names_the_command() {
    for (rustup, why) in [
        (None, "rustup, which could install it, is not on the PATH"),
        (Some(NO_NETWORK), "error: could not download"),
    ] {
        let machine = machine(rustup);
        let output = call(machine.path(), &["-vV"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(text(&output.stdout), "", "nothing was compiled");
        for part in [
            why,
            "the compiler lacks wasm32-unknown-unknown wasm32-wasip2",
            "help: run `rustup target add --toolchain 9.9.9 wasm32-unknown-unknown wasm32-wasip2`",
        ] {
            assert!(said.contains(part), "{said}");
        }
    }
}
