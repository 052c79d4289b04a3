//! Tests the workflow of a plugin author in each language, from `cairn plugin new` to a plugin that passes its checks; and the examples
//! that are not in Rust.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

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

/// Runs `cairn plugin build` and `cairn plugin check` in a folder; the plugin must satisfy the contract. Returns the grants of its imports.
#[track_caller]
fn build_and_check(program: &Program, folder: &Path, path: &OsStr) -> Value {
    run_in(program, folder, path, &["plugin", "build"]).exits(0);
    let checked = run_in(program, folder, path, &["plugin", "check", "--json"]);
    checked.exits(0).json()
}

/// Runs `cairn plugin test --laws` in a folder: every case and every law must pass. Returns the laws' names.
#[track_caller]
fn test_with_laws(program: &Program, folder: &Path, path: &OsStr) -> Value {
    let run = run_in(
        program,
        folder,
        path,
        &["plugin", "test", "--laws", "--json"],
    );
    let tested = run.exits(0).json();
    let cases = tested["cases"].as_array().expect("a list of cases");
    assert!(cases.len() > 1, "{tested}");
    cases[0]["laws"].clone()
}

/// Returns the result of a check.
#[track_caller]
fn found<'c>(checked: &'c Value, check: &str) -> &'c str {
    let checks = checked["checks"].as_array().expect("a list of checks");
    let item = checks.iter().find(|item| item["check"] == check);
    item.and_then(|item| item["found"].as_str())
        .expect("the check is in the list")
}

/// Creates a plugin in Rust, builds it, and runs its tests and its check.
fn a_new_crate_keeps_the_contract(name: &str, more: &[&str]) -> Value {
    let program = program();
    let (folder, path) = a_new_crate(&program, name, more);
    test_with_laws(&program, &folder, &path);
    let checked = run_in(&program, &folder, &path, &["plugin", "check", "--json"]);
    checked.exits(0).json()
}

/// Creates a plugin in Rust, builds it, and runs its tests. It always uses the same folder, and the target folder of the other examples, so
/// that dependencies are compiled only once. Returns the plugin's folder, and the `PATH`.
fn a_new_crate(program: &Program, name: &str, more: &[&str]) -> (PathBuf, OsString) {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-plugins");
    let folder = home.join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&home).expect("the folder can be made");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut new = vec!["plugin", "new", name, "--lang", "rust"];
    new.extend(more);
    run_in(program, &home, &path, &new).exits(0);

    let target = program.beside("examples");
    let mut build = program.command(&["plugin", "build"]);
    let build = build
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    end(build.spawn().expect("the program starts")).exits(0);
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
    (folder, path)
}

#[test]
fn a_new_task_in_rust_builds_passes_its_tests_and_keeps_the_contract() {
    let all =
        "results,policy,zones,catalog,images,keys,quota,volumes,records,externals,rpc,secrets";
    let checked = a_new_crate_keeps_the_contract("new-task", &["--with", all]);
    let grants = format!("needs the grants {}", all.replace(',', ", "));
    assert_eq!(found(&checked, "imports"), grants);
    assert_eq!(
        found(&checked, "call"),
        r#"returned {"text":"Hello, Ada!"}"#
    );
}

#[test]
fn a_new_policy_and_a_new_validator_in_rust_do_so_too() {
    for world in ["policy", "validator"] {
        let checked = a_new_crate_keeps_the_contract(&format!("new-{world}"), &["--world", world]);
        assert_eq!(found(&checked, "world"), format!("a {world}"));
        assert_eq!(found(&checked, "imports"), "needs no grant");
    }
}

/// A process that is killed when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_new_external_in_rust_keeps_its_promises_at_the_server_that_comes_with_it() {
    let program = program();
    let (folder, path) = a_new_crate(&program, "new-external", &["--world", "external"]);
    let checked = run_in(&program, &folder, &path, &["plugin", "check", "--json"]);
    let checked = checked.exits(0).json();
    assert_eq!(found(&checked, "world"), "an external");
    assert_eq!(found(&checked, "imports"), "needs the grants http");
    // Its tests have built its server, too.
    let server = program.beside("examples").join("debug/examples/server");
    keeps_its_promises(&program, &folder, &path, Command::new(server));
}

/// Runs the cases and laws of a new external against its server.
fn keeps_its_promises(program: &Program, folder: &Path, path: &OsStr, mut server: Command) {
    let mut server = server
        .arg("127.0.0.1:0")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut url = String::new();
    let said = server.stdout.take().expect("it is piped");
    BufReader::new(said).read_line(&mut url).expect("its URL");
    let _server = Running(server);
    let cases = folder.join("cases/cards.toml");
    let text = fs::read_to_string(&cases).expect("the cases");
    let text = text.replace("http://127.0.0.1:8765", url.trim());
    fs::write(&cases, text).expect("the folder is ours");
    let laws = test_with_laws(program, folder, path);
    let six = [
        "object-name",
        "looks",
        "once",
        "cut-acts",
        "refused",
        "listed",
    ];
    assert_eq!(laws, json!(six));
}

/// Checks a new external in a language whose tool is not cargo.
fn a_new_external_keeps_its_promises(language: Language, server: [&str; 2], test: &str) {
    let program = program();
    let Some(path) = tools(&program, language, test) else {
        return;
    };
    let lang = language.as_str();
    let new = [
        "plugin", "new", "cards", "--lang", lang, "--world", "external",
    ];
    program.run(&new).exits(0);
    let folder = program.path("cards");
    let checked = build_and_check(&program, &folder, &path);
    assert_eq!(found(&checked, "imports"), "needs the grants http");
    let [command, file] = server;
    let mut server = Command::new(command);
    server.arg(folder.join(file));
    keeps_its_promises(&program, &folder, &path, server);
}

#[test]
#[ignore = "takes minutes; the laws are tried on the same plugin in Rust by another test"]
fn a_new_external_in_javascript_keeps_its_promises_at_the_server_that_comes_with_it() {
    a_new_external_keeps_its_promises(
        Language::Js,
        ["node", "server.mjs"],
        "a_new_external_in_javascript_keeps_its_promises_at_the_server_that_comes_with_it",
    );
}

#[test]
#[ignore = "takes minutes; the laws are tried on the same plugin in Rust by another test"]
fn a_new_external_in_python_keeps_its_promises_at_the_server_that_comes_with_it() {
    a_new_external_keeps_its_promises(
        Language::Python,
        ["python3", "server.py"],
        "a_new_external_in_python_keeps_its_promises_at_the_server_that_comes_with_it",
    );
}

/// Makes version 3.7 of a new plugin, by changing the only place that defines its version.
fn is_released(folder: &Path, language: Language) {
    let (place, before, after) = match language {
        Language::Python => (
            "pyproject.toml",
            "version = \"0.1.0\"",
            "version = \"3.7.1\"",
        ),
        Language::Js => ("app.js", "version: [0, 1]", "version: [3, 7]"),
    };
    let text = fs::read_to_string(folder.join(place)).expect("a file of the plugin");
    assert_eq!(text.matches(before).count(), 1, "{text}");
    fs::write(folder.join(place), text.replace(before, after)).expect("the folder is ours");
}

/// Checks a new task with a requested capability, and one that refuses as its cases say.
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
        "quota,images,records",
    ];
    program.run(&new).exits(0);
    let folder = program.path("demo");
    is_released(&folder, language);
    let checked = build_and_check(&program, &folder, &path);
    let component = folder.join("demo.wasm").display().to_string();
    let shown = program.json(&["plugin", "inspect", &component, "--json"]);
    assert_eq!(shown["descriptor"]["version"], json!([3, 7]));
    assert_eq!(
        found(&checked, "imports"),
        "needs the grants images, quota, records"
    );
    assert_eq!(
        found(&checked, "call"),
        r#"returned {"text":"Hello, Ada!"}"#
    );
    assert_eq!(found(&checked, "revert"), "leaves everything as it was");
    test_with_laws(&program, &folder, &path);
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

/// Checks a new policy and a new validator, which accept and refuse as their cases say, both in the cases and in their flow.
fn a_new_policy_and_validator_keep_the_contract(language: Language, test: &str) {
    let program = program();
    let Some(path) = tools(&program, language, test) else {
        return;
    };
    for (world, kind) in [
        ("policy", "PolicyNotAuthorized"),
        ("validator", "InvalidInput"),
    ] {
        let new = [
            "plugin",
            "new",
            world,
            "--lang",
            language.as_str(),
            "--world",
            world,
        ];
        program.run(&new).exits(0);
        let folder = program.path(world);
        let checked = build_and_check(&program, &folder, &path);
        assert_eq!(found(&checked, "world"), format!("a {world}"));
        assert_eq!(found(&checked, "imports"), "needs no grant");
        assert_eq!(found(&checked, "call"), "lets the request pass");
        let laws = test_with_laws(&program, &folder, &path);
        assert_eq!(laws, json!(["same-answer"]));
        program.write("request.json", r#"{"size": 101}"#);
        let flow = format!("{world}/flow.toml");
        let run = ["run", &flow, "--input", "request.json", "--json"];
        let report = program.run(&run).exits(3).json();
        assert_eq!(report["error"]["kind"], kind, "{report}");
        assert_eq!(report["tasks"], json!([]));
    }
}

#[test]
#[ignore = "takes minutes: two components each; a policy and a task of each language are built by other tests"]
fn a_new_policy_and_a_new_validator_in_python_keep_the_contract() {
    a_new_policy_and_validator_keep_the_contract(
        Language::Python,
        "a_new_policy_and_a_new_validator_in_python_keep_the_contract",
    );
}

#[test]
#[ignore = "takes minutes: two components each; a policy and a task of each language are built by other tests"]
fn a_new_policy_and_a_new_validator_in_javascript_keep_the_contract() {
    a_new_policy_and_validator_keep_the_contract(
        Language::Js,
        "a_new_policy_and_a_new_validator_in_javascript_keep_the_contract",
    );
}

/// Copies an example's folder, following links.
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
fn the_office_hours_in_javascript_deny_with_their_reason() {
    let test = "the_office_hours_in_javascript_deny_with_their_reason";
    let program = program();
    let Some(path) = tools(&program, Language::Js, test) else {
        return;
    };
    let folder = program.path("hours");
    copy(Path::new(&repository("examples/office-hours-js")), &folder);
    let checked = build_and_check(&program, &folder, &path);
    assert_eq!(found(&checked, "world"), "a policy");
    assert_eq!(found(&checked, "imports"), "needs no grant");
    let laws = test_with_laws(&program, &folder, &path);
    assert_eq!(laws, json!(["same-answer"]));

    let flow = fs::read_to_string(folder.join("flow.toml")).expect("the example's flow");
    program.write("request.json", r#"{"size": 1}"#);
    // The office is one hour ahead of UTC.
    let at = |now: &str, more: &[&str], exit: i32| {
        let clock = format!("utc_offset = 60, now = \"{now}\"");
        assert!(flow.contains("utc_offset = 60"), "{flow}");
        program.write("hours/now.toml", flow.replace("utc_offset = 60", &clock));
        let mut run = vec!["run", "hours/now.toml", "--input", "request.json", "--json"];
        run.extend(more);
        program.run(&run).exits(exit).json()
    };
    at("2026-01-05T07:00:00Z", &[], 0);
    for (now, there) in [
        ("2026-01-05T06:59:59Z", "mon 07:59"),
        ("2026-01-05T17:00:00Z", "mon 18:00"),
        ("2026-01-10T12:00:00Z", "sat 13:00"),
    ] {
        let report = at(now, &[], 3);
        let error = &report["error"];
        assert_eq!(
            (&error["origin"], &error["kind"]),
            (&json!("policy"), &json!("PolicyNotAuthorized"))
        );
        let reason = error["details"]["reason"].as_str().expect("a reason");
        assert_eq!(
            reason,
            format!(
                "it is {there}, and the office is open 08:00 to 18:00 on mon, tue, wed, thu, fri"
            )
        );
        assert_eq!(report["rollback"], Value::Null);
        assert_eq!(report["tasks"], json!([]));
    }
    at("2026-01-10T12:00:00Z", &["--role", "operator"], 0);
    program.write("hours/now.toml", flow.replace("08:00", "19:00"));
    program
        .run(&["plan", "hours/now.toml"])
        .exits(2)
        .says(&["opens at 19:00 and closes at 18:00"]);
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

    test_with_laws(&program, &folder, &path);

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
    // Below `free_below` only the quota itself refuses a volume.
    create(json!(9), 0);
    let shown = program.json(&["quota", "show", "--json"]);
    assert!(shown.to_string().contains("\"in_use\":84"), "{shown}");
    program.run(&["quota", "check"]).exits(0);
}
