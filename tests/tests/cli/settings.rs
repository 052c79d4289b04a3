use acceptance::program::{end, volume_create};
use serde_json::json;

use super::{create, program};

#[test]
fn a_flag_comes_before_a_variable_before_the_file_before_the_default() {
    let program = program();
    program.write("cairn.toml", "project = \"from-file\"\n");
    let project = |variable: Option<&str>, flag: &[&str]| {
        let mut command = program.command(&["quota", "show", "--json"]);
        if let Some(value) = variable {
            command.env("CAIRN_PROJECT", value);
        }
        end(command.args(flag).spawn().unwrap()).exits(0).json()["project"].clone()
    };
    program.run(&["zones", "create", "nova"]).exits(0);
    assert_eq!(
        project(Some("from-variable"), &["--project", "from-flag"]),
        "from-flag"
    );
    assert_eq!(project(Some("from-variable"), &[]), "from-variable");
    assert_eq!(project(None, &[]), "from-file");
    std::fs::remove_file(program.path("cairn.toml")).unwrap();
    assert_eq!(project(None, &[]), "demo");
}

#[test]
fn the_file_may_be_named_and_its_paths_start_where_it_stands() {
    let program = program();
    std::fs::create_dir(program.path("etc")).unwrap();
    program.write(
        "etc/own.toml",
        "db = \"own.db\"\nmaster_key = \"own.key\"\nquota.volumes = 0\n",
    );
    let over = create(&program, r#"{"size": 1}"#, &["--config", "etc/own.toml"], 3);
    assert_eq!(over["error"]["kind"], "VolumeLimitExceeded");
    assert!(program.path("etc/own.db").exists());
    assert!(!program.has_database());
    program
        .run(&["zones", "list", "--config", "gone.toml"])
        .exits(2)
        .says(&["the settings cannot be read", "--> gone.toml"]);
}

#[test]
fn a_command_that_only_reads_makes_no_database() {
    let program = program();
    let id = "01a20616-1920-776a-9907-780232c46d47";
    for command in [
        &["flows", "list"][..],
        &["flows", "show", id],
        &["flows", "events", id],
        &["flows", "logs", id],
        &["quota", "show"],
        &["volumes", "list"],
        &["volumes", "show", "x"],
        &["volumes", "set", "x", "--status", "available"],
        &["volumes", "delete", "x"],
        &["snapshots", "list"],
        &["types", "list"],
        &["images", "list"],
        &["zones", "list"],
        &["zones", "delete", "x"],
        &["outbox", "list"],
        &["outbox", "ack", "x"],
        &["db", "check"],
    ] {
        let run = program.run(command).exits(2);
        run.says(&[
            "error: there is no database at cairn.db",
            "help: `cairn run` and commands that create something make one",
        ]);
        assert!(!program.has_database(), "{command:?} made a database");
    }
    // An empty file, in which SQLite would create a database, counts as no database.
    program.write("cairn.db", "");
    program
        .run(&["quota", "show"])
        .exits(2)
        .says(&["there is no database"]);
    create(&program, r#"{"size": 1}"#, &[], 0);
}

#[test]
fn a_database_is_checked() {
    let program = program();
    program.run(&["zones", "create", "nova"]).exits(0);
    let expected = json!({"schema_version": 12, "newest_version": 12, "problems": []});
    assert_eq!(program.json(&["db", "check", "--json"]), expected);
}

#[test]
fn messages_are_json_when_that_is_asked_for() {
    let program = program();
    program.write("flow.toml", "[flow]\nname = \"x\"\nnaem = 1\n");
    let run = program
        .run(&["run", "flow.toml", "--log-format", "json"])
        .exits(2);
    let message: serde_json::Value = serde_json::from_str(&run.stderr).unwrap();
    assert_eq!(
        (&message["level"], &message["fields"]["line"]),
        (&json!("ERROR"), &json!(3))
    );
    assert_eq!(message["fields"]["file"], "flow.toml");
    let run = program
        .run(&[
            "run",
            &volume_create(),
            "--log-format",
            "json",
            "-vv",
            "--json",
        ])
        .exits(3);
    run.json();
    let lines: Vec<serde_json::Value> = run
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        lines
            .iter()
            .any(|line| line["fields"]["state"] == "REVERTING"),
        "{lines:?}"
    );
}

#[test]
fn colour_is_for_terminals_and_where_it_is_asked_for() {
    let program = program();
    let coloured = |arguments: &[&str]| program.run(arguments).exits(2).stderr.contains('\u{1b}');
    assert!(!coloured(&["flows", "list"]));
    assert!(coloured(&["flows", "list", "--color", "always"]));
}

#[test]
fn locks_are_in_the_folder_that_the_settings_name() {
    let program = program();
    std::fs::create_dir(program.path("etc")).unwrap();
    program.write(
        "etc/own.toml",
        "db = \"../cairn.db\"\n[hosts]\nlocks = \"run\"\n",
    );
    let at = ["--config", "etc/own.toml"];
    create(&program, r#"{"size": 1}"#, &at, 0);
    program
        .run(&["recover", "--config", "etc/own.toml"])
        .exits(0);
    assert!(program.path("etc/run").is_dir());
    assert!(!program.path("cairn.db.locks").exists());
    let rows = program.json(&["config", "show", "--json", "--config", "etc/own.toml"]);
    let mut rows = rows.as_array().unwrap().iter();
    let row = rows
        .find(|row| row["name"] == "hosts.locks")
        .expect("a row");
    assert_eq!(
        (&row["value"], &row["source"]),
        (&json!("etc/run"), &json!("file"))
    );
}
