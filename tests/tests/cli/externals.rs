//! `cairn externals`: objects outside the database, their rows, and the commands that compare, adopt and remove them.

use std::sync::OnceLock;

use acceptance::program::Program;
use acceptance::rust_plugin;
use serde_json::{Value, json};

use super::program;

const ORPHAN: &str = "6f0c1f6e-7b64-4c0e-9d3b-0a4a7c2f5a11";

/// Returns a guest of `tests/guests/rust` as a component.
fn component(name: &str) -> String {
    static BUILT: OnceLock<std::path::PathBuf> = OnceLock::new();
    let program = env!("CARGO_BIN_EXE_cairn-under-test");
    let built = BUILT.get_or_init(|| rust_plugin::build("tests/guests/rust", program));
    built
        .join(name)
        .with_extension("wasm")
        .display()
        .to_string()
}

/// Writes a manifest whose provider has these settings, and more keys, and whose flow makes objects with these labels.
fn write(program: &Program, name: &str, settings: &str, more: &str, labels: &str) {
    program.write(
        name,
        format!(
            "[flow]\nname = 'f'\n\n[externals.shelf]\npath = '{}'\nsettings = {{ {settings} }}\n{more}\n\
             [plugins.places]\npath = '{}'\nsettings = {{ labels = [{labels}] }}\n\
             grants = {{ externals = true }}\n\n[[task]]\nplugin = 'places'\n",
            component("shelf"),
            component("places")
        ),
    );
}

/// Runs a flow that makes two objects, which are there. Returns the program, the flow and the ids of the objects.
fn two_objects() -> (Program, String, [String; 2]) {
    let program = program();
    write(
        &program,
        "flow.toml",
        "everything = true",
        "",
        "'one', 'two'",
    );
    let report = program.json(&["run", "flow.toml", "--json"]);
    let flow = report["flow"]["id"].as_str().unwrap().to_owned();
    let ids = ids(&program);
    let [one, two] = &ids[..] else {
        panic!("{ids:?}")
    };
    (program, flow, [one.clone(), two.clone()])
}

fn ids(program: &Program) -> Vec<String> {
    let rows = program.json(&["externals", "list", "--json"]);
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row["id"].as_str().unwrap().to_owned())
        .collect()
}

/// Returns the arguments of a command about an object.
fn about<'a>(command: &'a str, id: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["external", command, "shelf", "book", id][..], more].concat()
}

const SCAN: [&str; 6] = [
    "externals",
    "scan",
    "shelf",
    "book",
    "--admin",
    "--manifest",
];

fn scan<'a>(manifest: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&SCAN[..], &[manifest], more].concat()
}

#[test]
fn the_rows_of_objects_are_listed_by_page_project_and_state() {
    let (program, flow, [one, two]) = two_objects();
    let row = &program.json(&["external", "list", "--json"])[0];
    assert_eq!(
        (
            &row["provider"],
            &row["kind"],
            &row["state"],
            &row["flow"],
            &row["task"]
        ),
        (
            &json!("shelf"),
            &json!("book"),
            &json!("made"),
            &json!(flow),
            &json!("places")
        )
    );
    assert!(
        ["one", "two"].contains(&row["spec"]["title"].as_str().unwrap()),
        "{row}"
    );
    let page = program.json(&["external", "list", "--json", "--page", "--limit", "1"]);
    let cursor = format!("shelf/book/{one}");
    assert_eq!(
        (&page["rows"][0]["id"], &page["next"]),
        (&json!(one), &json!(cursor))
    );
    let rest = program.json(&["external", "list", "--json", "--page", "--cursor", &cursor]);
    assert_eq!(
        (&rest["rows"][0]["id"], &rest["next"]),
        (&json!(two), &Value::Null)
    );
    for (more, rows) in [
        (&["--state", "made", "--state", "removing"][..], 2),
        (&["--state", "making"], 0),
        (&["--provider", "shelf", "--kind", "book"], 2),
        (&["--provider", "other"], 0),
        (&["--kind", "other"], 0),
        (&["--project", "other"], 0),
        (&["--project", "other", "--all-projects", "--admin"], 2),
    ] {
        let listed = program.run(&[&["external", "list", "-o", "jsonl"], more].concat());
        assert_eq!(listed.exits(0).lines().len(), rows, "{more:?}");
    }
    program
        .run(&["external", "list", "--all-projects"])
        .exits(6)
        .says(&["shown to admins only", "add --admin"]);
    program
        .run(&["external", "list", "--cursor", "nonsense"])
        .exits(2)
        .says(&["`nonsense` is not a cursor", "PROVIDER/KIND/ID"]);
    let table = program.run(&["external", "list"]).exits(0).stdout;
    assert!(table.starts_with("PROVIDER  KIND  ID "), "{table}");
}

#[test]
fn the_provider_that_made_an_object_is_asked_about_it_also_when_there_are_others_of_its_name() {
    let (program, _, [one, _]) = two_objects();
    let found = program.json(&about("look", &one, &["--json"]));
    assert_eq!(
        (&found["found"], &found["result"]),
        (&json!("whole"), &json!({"shelf": "book"}))
    );
    assert_eq!(found["row"]["state"], "made");
    write(&program, "later.toml", "there = []", "", "");
    let found = program.json(&about(
        "look",
        &one,
        &["--json", "--manifest", "later.toml"],
    ));
    assert_eq!(found["found"], "absent");
    // Only admins look at what no row of the project names.
    program
        .run(&about("look", ORPHAN, &[]))
        .exits(6)
        .says(&["for admins only", "add --admin"]);
    let found = program.json(&about("look", ORPHAN, &["--admin", "--json"]));
    assert_eq!(
        (&found["found"], &found["row"]),
        (&json!("whole"), &Value::Null)
    );
    // Now there are two, and nothing says which of them knows the orphan.
    program.run(&["run", "later.toml"]).exits(0);
    program
        .run(&about("look", ORPHAN, &["--admin"]))
        .exits(2)
        .says(&["several providers `shelf`", "--manifest FLOW"]);
    let found = program.json(&about("look", &one, &["--json"]));
    assert_eq!(found["found"], "whole", "it is that of the object's flow");
    for (arguments, words) in [
        (["look", "shelf", "book", "BOOK"], "a UUID in lower case"),
        (
            ["look", "nobody", "book", ORPHAN],
            "no stored plan has a provider `nobody`",
        ),
        (["look", "shelf", "", ORPHAN], "is empty"),
    ] {
        let arguments = [&["external"][..], &arguments, &["--admin"]].concat();
        program.run(&arguments).exits(2).says(&[words]);
    }
    let nobody = [
        "external",
        "look",
        "nobody",
        "book",
        ORPHAN,
        "--admin",
        "--manifest",
        "later.toml",
    ];
    program.run(&nobody).exits(2).says(&[
        "the manifest has no provider `nobody`",
        "its providers are shelf",
    ]);
}

#[test]
fn a_scan_reports_orphans_and_lost_objects_and_changes_nothing() {
    let (program, flow, [one, two]) = two_objects();
    let there = format!("there = ['{one}', '{two}']");
    write(&program, "same.toml", &there, "", "");
    let same = program.run(&scan("same.toml", &[])).exits(0).stdout;
    assert_eq!(
        same,
        "no difference was found; the provider lists 2 objects\n"
    );
    write(
        &program,
        "later.toml",
        &format!("there = ['{one}', '{ORPHAN}']"),
        "",
        "",
    );
    let found = program
        .run(&scan("later.toml", &["--json"]))
        .exits(6)
        .json();
    assert_eq!(
        (&found["listed"], &found["more"]),
        (&json!(2), &json!(false))
    );
    let mut differences = found["differences"].as_array().unwrap().clone();
    differences.sort_by_key(|difference| difference["difference"].to_string());
    assert_eq!(
        differences,
        [
            json!({"difference": "lost", "id": two, "project_id": "demo", "flow": flow, "found": "absent", "error": null}),
            json!({"difference": "orphan", "id": ORPHAN, "project_id": null, "flow": null, "found": "whole", "error": null}),
        ]
    );
    let table = program.run(&scan("later.toml", &[])).exits(6).stdout;
    assert!(
        table.contains(&format!("orphan      {ORPHAN}  whole   -        -\n")),
        "{table}"
    );
    assert_eq!(ids(&program), [one, two], "it changes nothing");
    program
        .run(&["external", "scan", "shelf", "book"])
        .exits(6)
        .says(&["for admins only", "add --admin"]);
    write(
        &program,
        "silent.toml",
        "silent = \"the \\u001b[2J shelf\"",
        "",
        "",
    );
    let silent = program.run(&scan("silent.toml", &[])).exits(1);
    let silent = silent.says(&["does not list its objects: NoAnswer: the \\u{1b}[2J shelf"]);
    assert!(!silent.stderr.contains('\u{1b}'), "{:?}", silent.stderr);
}

#[test]
fn an_orphan_is_adopted_or_removed() {
    let (program, _, [one, two]) = two_objects();
    write(
        &program,
        "orphan.toml",
        &format!("there = ['{ORPHAN}']"),
        "",
        "",
    );
    write(&program, "gone.toml", "there = []", "", "");
    let with = |manifest| ["--admin", "--manifest", manifest];
    let reason = ["--reason", "it is ours"];
    let adopt = |manifest| about("adopt", ORPHAN, &[&with(manifest)[..], &reason].concat());
    program
        .run(&about("adopt", ORPHAN, &with("orphan.toml")))
        .exits(2)
        .says(&["--reason"]);
    program
        .run(&adopt("gone.toml"))
        .exits(6)
        .says(&["there is no object"]);
    let by_user: Vec<&str> = adopt("orphan.toml")
        .into_iter()
        .filter(|word| *word != "--admin")
        .collect();
    program
        .run(&by_user)
        .exits(6)
        .says(&["only an admin may adopt", "add --admin"]);
    program
        .run(&adopt("orphan.toml"))
        .exits(0)
        .says(&["adopted for the project `demo`: it is whole"]);
    program
        .run(&adopt("orphan.toml"))
        .exits(6)
        .says(&["has a row, of the project `demo`"]);
    let rows = program.json(&["external", "list", "--json"]);
    let row = rows
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["id"] == ORPHAN)
        .unwrap();
    assert_eq!(
        row["spec"],
        json!({"adopted": {"by": "demo", "reason": "it is ours"}})
    );

    // Removed: the adopted one, one of a flow that has ended, and an orphan.
    let other = "00000000-0000-4000-8000-000000000001";
    for id in [ORPHAN, &one, other] {
        program
            .run(&about("remove", id, &with("gone.toml")))
            .exits(2)
            .says(&["--yes"]);
        let remove = [&with("gone.toml")[..], &["--yes"]].concat();
        program.run(&about("remove", id, &remove)).exits(0);
    }
    assert_eq!(ids(&program), [two]);
}

#[test]
fn an_object_that_its_provider_does_not_remove_keeps_its_row() {
    let (program, flow, [one, two]) = two_objects();
    let remove = |id, manifest| about("remove", id, &["--admin", "--yes", "--manifest", manifest]);
    program
        .run(&about("remove", &one, &["--admin", "--yes"]))
        .exits(6)
        .says(&["says that it has removed the object", "still there"]);
    write(
        &program,
        "busy.toml",
        "refuses = \"in \\u001b[2J use\"",
        "",
        "",
    );
    let busy = program.run(&remove(&two, "busy.toml")).exits(6);
    let busy = busy.says(&["does not remove the object", "Busy: in \\u{1b}[2J use"]);
    assert!(!busy.stderr.contains('\u{1b}'), "{:?}", busy.stderr);
    let removing = program.json(&["external", "list", "--state", "removing", "--json"]);
    // A refusal leaves its row as it was.
    assert_eq!(removing.as_array().unwrap().len(), 1);
    write(&program, "gone.toml", "", "", "");
    for id in [&one, &two] {
        program.run(&remove(id, "gone.toml")).exits(0);
    }
    assert_eq!(ids(&program), [""; 0]);
    // The flow's rollback finds that an operator has removed its objects.
    let report = program.json(&["flow", "rollback", &flow, "--json"]);
    assert_eq!(report["rollback"]["verdict"], "clean");
}

#[test]
fn an_object_of_a_flow_that_waits_is_not_removed() {
    let program = program();
    write(&program, "flow.toml", "", "", "'one'");
    let path = program.path("flow.toml");
    let mut flow = std::fs::read_to_string(&path).unwrap();
    flow += "[[task]]\nwait = { signal = 'go' }\n";
    program.write("flow.toml", flow);
    program.run(&["run", "flow.toml", "--no-wait"]).exits(5);
    let [one] = &ids(&program)[..] else {
        panic!("one object")
    };
    program
        .run(&about("remove", one, &["--admin", "--yes"]))
        .exits(6)
        .says(&["is not over (RUNNING)", "`cairn flow rollback "]);
    assert_eq!(
        program.json(&["external", "list", "--json"])[0]["state"],
        "made"
    );
}

#[test]
fn an_act_has_a_time_of_its_own_which_only_externals_set() {
    let program = program();
    write(
        &program,
        "flow.toml",
        "slow = true",
        "limits = { act = '100ms' }",
        "'one'",
    );
    let report = program.run(&["run", "flow.toml", "--json"]).exits(3).json();
    let error = &report["error"];
    assert_eq!(error["kind"], "ProviderFailed", "{report}");
    assert_eq!(error["details"]["failure"]["kind"], "ActDeadlineExceeded");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("the act did not end within 100ms (the limit `act`)"),
        "{message}"
    );
    let plan = program.run(&["plan", "flow.toml"]).exits(0).stdout;
    assert!(plan.contains("shelf 100ms"), "{plan}");
    let path = program.path("flow.toml");
    let flow = std::fs::read_to_string(&path).unwrap();
    let flow = flow.replace("grants = { ext", "limits = { act = '1s' }\ngrants = { ext");
    program.write("flow.toml", flow);
    program.run(&["plan", "flow.toml"]).exits(2).says(&[
        "`plugins.places.limits.act` bounds acts, and only externals act",
        "flow.toml:11",
    ]);
}
