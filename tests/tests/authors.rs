//! The way of an author: from nothing to a plugin that keeps the contract, in each language; and the examples that are not in Rust.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use acceptance::program::{Program, Run, end, repository};
use acceptance::tools::{Language, tools};
use serde_json::{Value, json};

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_cairn-under-test"))
}

/// Runs the program in a folder, with a `PATH`.
fn run_in(program: &Program, folder: &Path, path: &OsStr, arguments: &[&str]) -> Run {
    let mut command = program.command(arguments);
    let child = command.current_dir(folder).env("PATH", path).spawn();
    end(child.expect("the program starts"))
}

/// `cairn plugin build` and `cairn plugin check` in a folder; the plugin must keep the contract. Returns its imports' grants.
#[track_caller]
fn build_and_check(program: &Program, folder: &Path, path: &OsStr) -> Value {
    run_in(program, folder, path, &["plugin", "build"]).exits(0);
    let checked = run_in(program, folder, path, &["plugin", "check", "--json"]);
    checked.exits(0).json()
}

/// What a check found.
#[track_caller]
fn found<'c>(checked: &'c Value, check: &str) -> &'c str {
    let checks = checked["checks"].as_array().expect("a list of checks");
    let item = checks.iter().find(|item| item["check"] == check);
    item.and_then(|item| item["found"].as_str())
        .expect("the check is in the list")
}

#[test]
fn a_new_plugin_in_rust_builds_passes_its_tests_and_keeps_the_contract() {
    let program = program();
    let all = "results,policy,zones,catalog,images,keys,quota,volumes,rpc";
    // Always the same folder, so that what a crate depends on is compiled once.
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-plugins");
    let folder = home.join("demo");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&home).expect("the folder can be made");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let new = ["plugin", "new", "demo", "--lang", "rust", "--with", all];
    run_in(&program, &home, &path, &new).exits(0);

    let target = program.beside("examples");
    let mut build = program.command(&["plugin", "build"]);
    let build = build
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    end(build.spawn().expect("the program starts")).exits(0);
    let checked = run_in(&program, &folder, &path, &["plugin", "check", "--json"]);
    let checked = checked.exits(0).json();
    let grants = format!("needs the grants {}", all.replace(',', ", "));
    assert_eq!(found(&checked, "imports"), grants);
    assert_eq!(
        found(&checked, "call"),
        r#"returned {"text":"Hello, Ada!"}"#
    );

    let tests = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .arg("test")
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", &target)
        .output()
        .expect("cargo starts");
    let told = String::from_utf8_lossy(&tests.stdout);
    assert!(
        tests.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&tests.stderr)
    );
    assert!(told.contains("2 passed"), "{told}");
}

/// A new task with a capability that is asked for, and one that refuses as it should.
fn a_new_task_keeps_the_contract(language: Language, test: &str) {
    let program = program();
    let Some(path) = tools(&program, language, test) else {
        return;
    };
    let new = [
        "plugin",
        "new",
        "demo",
        "--lang",
        language.as_str(),
        "--with",
        "quota,images",
    ];
    program.run(&new).exits(0);
    let folder = program.path("demo");
    let checked = build_and_check(&program, &folder, &path);
    assert_eq!(found(&checked, "imports"), "needs the grants images, quota");
    assert_eq!(
        found(&checked, "call"),
        r#"returned {"text":"Hello, Ada!"}"#
    );
    assert_eq!(found(&checked, "revert"), "leaves everything as it was");
    let nobody = run_in(
        &program,
        &folder,
        &path,
        &["plugin", "check", "--inputs", "{}", "--json"],
    );
    let nobody = nobody.exits(0).json();
    assert!(
        found(&nobody, "call").contains("InvalidInput: the request has no `name`"),
        "{nobody}"
    );
}

#[test]
fn a_new_plugin_in_python_builds_and_keeps_the_contract() {
    a_new_task_keeps_the_contract(
        Language::Python,
        "a_new_plugin_in_python_builds_and_keeps_the_contract",
    );
}

#[test]
fn a_new_plugin_in_javascript_builds_and_keeps_the_contract() {
    a_new_task_keeps_the_contract(
        Language::Js,
        "a_new_plugin_in_javascript_builds_and_keeps_the_contract",
    );
}

/// A copy of an example's folder, links followed.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder can be made");
    for entry in fs::read_dir(from).expect("the example") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name");
        if name.to_string_lossy().starts_with('.')
            || name == "__pycache__"
            || name == "node_modules"
        {
            continue;
        }
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else if path.extension().is_none_or(|extension| extension != "wasm") {
            fs::copy(&path, to.join(name)).expect("the file can be copied");
        }
    }
}

#[test]
fn the_quota_guard_in_python_refuses_what_is_more_than_its_share_of_what_is_left() {
    let test = "the_quota_guard_in_python_refuses_what_is_more_than_its_share_of_what_is_left";
    let program = program();
    let Some(path) = tools(&program, Language::Python, test) else {
        return;
    };
    let folder = program.path("guard");
    copy(
        Path::new(&repository("examples/quota-guard-python")),
        &folder,
    );
    let checked = build_and_check(&program, &folder, &path);
    assert_eq!(found(&checked, "imports"), "needs the grants quota");

    program.run(&["quota", "set", "gigabytes=100"]).exits(0);
    let create = |size: Value, exit: i32| {
        program.write("request.json", json!({ "size": size }).to_string());
        let run = [
            "run",
            "guard/flow.toml",
            "--input",
            "request.json",
            "--json",
        ];
        program.run(&run).exits(exit).json()
    };
    // 50% of 100, and then of 50.
    create(json!(50), 0);
    let report = create(json!(26), 3);
    let error = &report["error"];
    assert_eq!(error["task"], "quota-guard;volume:create");
    assert_eq!(
        (&error["origin"], &error["kind"]),
        (&json!("plugin"), &json!("QuotaShareExceeded"))
    );
    assert_eq!(error["details"]["most"], 25);
    assert_eq!(error["details"]["left"], json!({"gigabytes": 50}));
    assert_eq!(report["rollback"]["verdict"], "clean");
    create(json!(25), 0);
    // Below `free_below` nothing is refused but by the quota itself.
    create(json!(9), 0);
    let shown = program.json(&["quota", "show", "--json"]);
    assert!(shown.to_string().contains("\"in_use\":84"), "{shown}");
    program.run(&["quota", "check"]).exits(0);
}
