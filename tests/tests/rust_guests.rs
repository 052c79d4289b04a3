//! Guests written in Rust with the SDK: their panics, and their use of ids that belong to others.

use std::path::PathBuf;
use std::sync::OnceLock;

use acceptance::guest::Call;
use acceptance::program::Program;
use acceptance::rust_plugin;
use serde_json::{Value, json};

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_cairn-under-test"))
}

/// Returns a guest of `tests/guests/rust` as a component. All are built at once.
fn component(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let program = env!("CARGO_BIN_EXE_cairn-under-test");
    let built = BUILT.get_or_init(|| rust_plugin::build("tests/guests/rust", program));
    built.join(name).with_extension("wasm")
}

/// Writes `flow.toml`, whose first task is this guest with these settings, with an optional second task.
fn flow(program: &Program, guest: &str, settings: &str, grants: &str, second: Option<Call>) {
    let mut text = format!(
        "[flow]\nname = \"f\"\n\n[plugins.guest]\npath = '{}'\nsettings = {{ {settings} }}\n\
         limits = {{ deadline = \"30s\" }}\ngrants = {{ {grants} }}\n\n[[task]]\nplugin = \"guest\"\n",
        component(guest).display()
    );
    if let Some(second) = second {
        program.write("second.wat", second.component());
        text += "\n[plugins.second]\npath = \"second.wat\"\n\n[[task]]\nplugin = \"second\"\n";
    }
    program.write("flow.toml", text);
}

/// Returns a flow's log.
fn log(program: &Program, report: &Value) -> String {
    let flow = report["flow"]["id"].as_str().expect("an id");
    program.json(&["flows", "logs", flow, "--json"]).to_string()
}

/// Returns the places in an error's backtrace.
fn backtrace(error: &Value) -> Vec<&str> {
    let frames = error["details"]["backtrace"].as_array();
    let frames = frames.unwrap_or_else(|| panic!("no backtrace in {error}"));
    frames.iter().filter_map(Value::as_str).collect()
}

#[test]
fn a_panic_in_call_is_a_trap_whose_words_are_in_the_log_and_whose_effects_are_undone() {
    let program = program();
    flow(&program, "panics", "in = \"call\"", "quota = true", None);
    let report = program.run(&["run", "flow.toml", "--json"]).exits(3).json();
    let error = &report["error"];
    assert_eq!(
        (&error["task"], &error["origin"], &error["kind"]),
        (&json!("guest"), &json!("host"), &json!("Trap"))
    );
    assert_eq!(report["rollback"]["verdict"], "clean");
    assert_eq!(report["rollback"]["reverted"], json!(["guest"]));
    let frames = backtrace(error);
    assert!(
        frames.iter().any(|frame| frame.contains("panics::divide")),
        "{frames:?}"
    );
    let said = error["log"].to_string();
    assert!(
        said.contains("index out of bounds: the len is 3 but the index is 8"),
        "{error}"
    );
    let log = log(&program, &report);
    assert!(
        log.contains("index out of bounds: the len is 3 but the index is 8")
            && log.contains("panics/src/lib.rs:"),
        "{log}"
    );
    program.run(&["quota", "check"]).exits(0);
    let usage = program.json(&["quota", "show", "--json"]);
    let reserved = &usage["quotas"]["volumes"]["reserved"];
    assert_eq!(*reserved, 0, "{usage}");
}

#[test]
fn a_panic_in_revert_leaves_the_rollback_incomplete_until_it_is_mended() {
    let program = program();
    let settings = "in = \"revert\"";
    flow(
        &program,
        "panics",
        settings,
        "quota = true",
        Some(Call::Traps),
    );
    let report = program.run(&["run", "flow.toml", "--json"]).exits(4).json();
    // The first error remains the flow's.
    assert_eq!(report["error"]["task"], "second");
    let rollback = &report["rollback"];
    assert_eq!(rollback["verdict"], "incomplete");
    assert_eq!(rollback["reverted"], json!(["second"]));
    let failed = rollback["failed"].as_array().expect("what failed");
    assert_eq!(failed.len(), 1, "{rollback}");
    assert_eq!(failed[0]["task"], "guest");
    let error = &failed[0]["error"];
    assert_eq!(
        (&error["origin"], &error["kind"]),
        (&json!("host"), &json!("Trap"))
    );
    let frames = backtrace(error);
    assert!(
        frames.iter().any(|frame| frame.contains("revert")),
        "{frames:?}"
    );
    let said = error["log"].to_string();
    assert!(said.contains("cannot go back from Completed("), "{error}");
    let log = log(&program, &report);
    assert!(log.contains("cannot go back from Completed("), "{log}");
    let flow = report["flow"]["id"].as_str().expect("an id");
    let text = program.run(&["flows", "show", flow]).exits(0).stdout;
    let stuck = text.split("\nstuck ").nth(1).unwrap_or_default();
    assert!(stuck.contains("\nlog       "), "{text}");
    let listed = program.json(&["flows", "list", "--incomplete", "--json"]);
    assert_eq!(listed[0]["id"], flow);
}

/// Runs the forging guest for a user's project; returns the report.
fn forge(program: &Program, user: &str, ask: &str, id: &str) -> Value {
    let grants = "catalog = true, images = true, keys = true, quota = true, volumes = true";
    let settings = format!("ask = \"{ask}\", id = \"{id}\"");
    flow(program, "forges", &settings, grants, None);
    let who = [
        "run",
        "flow.toml",
        "--user",
        user,
        "--project",
        user,
        "--json",
    ];
    program.json(&who)
}

fn told(report: &Value) -> &Value {
    &report["tasks"][0]["result"]["told"]
}

/// Returns the answer to a guest, without the parts that differ between runs: its flow's own volume, and the id that it
/// named.
fn alike(report: &Value, id: &str) -> String {
    let mut told = told(report).clone();
    if let Some(made) = told.get_mut("ok").and_then(Value::as_object_mut) {
        made.remove("id");
        made.remove("created_at");
        made.remove("updated_at");
    }
    told.to_string().replace(id, "ID")
}

#[test]
fn a_forged_id_of_any_kind_is_answered_like_an_unknown_one_and_is_an_event() {
    let program = program();
    let report = forge(&program, "ann", "own", "");
    let own = &told(&report)["ok"];
    let volume = own["volume"].as_str().expect("a volume");
    let ann = ["--user", "ann", "--project", "ann", "--json"];
    let with_ann = |arguments: &[&str]| {
        let arguments: Vec<&str> = arguments.iter().chain(&ann).copied().collect();
        program.json(&arguments)
    };
    let snapshot = with_ann(&["snapshots", "create", "--volume", volume]);
    program.write("image.raw", "image");
    let image = with_ann(&["images", "create", "image.raw", "--private"]);
    let before = with_ann(&["volumes", "list"]);

    let (id, unknown) = (
        |value: &Value| value["id"].as_str().expect("an id").to_owned(),
        "of-nobody",
    );
    for (ask, kind, theirs) in [
        ("show-volume", "volume", volume.to_owned()),
        ("update-volume", "volume", volume.to_owned()),
        ("destroy-volume", "volume", volume.to_owned()),
        ("volume-from-source", "volume", volume.to_owned()),
        ("show-snapshot", "snapshot", id(&snapshot)),
        ("volume-from-snapshot", "snapshot", id(&snapshot)),
        ("show-image", "image", id(&image)),
        (
            "copy-key",
            "key",
            own["key"].as_str().expect("a key").to_owned(),
        ),
        (
            "delete-key",
            "key",
            own["key"].as_str().expect("a key").to_owned(),
        ),
        (
            "volume-with-key",
            "key",
            own["key"].as_str().expect("a key").to_owned(),
        ),
        (
            "commit-reservation",
            "reservation",
            own["reservation"]
                .as_str()
                .expect("a reservation")
                .to_owned(),
        ),
        (
            "roll-back-reservation",
            "reservation",
            own["reservation"]
                .as_str()
                .expect("a reservation")
                .to_owned(),
        ),
    ] {
        let forged = forge(&program, "mallory", ask, &theirs);
        let guessed = forge(&program, "mallory", ask, unknown);
        assert_eq!(alike(&forged, &theirs), alike(&guessed, unknown), "{ask}");

        let denied = |report: &Value| -> Vec<Value> {
            let flow = report["flow"]["id"].as_str().expect("an id");
            let events = program.json(&["flows", "events", flow, "--json"]);
            let events = events.as_array().expect("events").iter();
            events
                .map(|event| &event["event"]["denied"])
                .filter(|denied| !denied.is_null())
                .map(|denied| json!([denied["kind"], denied["id"]]))
                .collect()
        };
        assert_eq!(denied(&forged), [json!([kind, theirs])], "{ask}");
        assert_eq!(denied(&guessed), [] as [Value; 0], "{ask}");
        // The text output names the task.
        let flow = forged["flow"]["id"].as_str().expect("an id");
        let shown = program.run(&["flows", "events", flow]).exits(0).stdout;
        let line = shown.lines().find(|line| line.contains("denied"));
        let line = line.unwrap_or_else(|| panic!("{shown}"));
        for word in [
            &format!("kind={kind}"),
            &format!("id={theirs}"),
            "task=guest",
        ] {
            assert!(line.contains(word), "{line}");
        }
    }
    assert_eq!(with_ann(&["volumes", "list"]), before);
    let usage = with_ann(&["quota", "show"]);
    let reserved = &usage["quotas"]["volumes"]["reserved"];
    assert_eq!(*reserved, 1, "her reservation is open: {usage}");
}
