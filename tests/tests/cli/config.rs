//! `cairn config`: the settings and their sources.

use acceptance::program::{Program, end};
use serde_json::{Value, json};

use super::program;

/// Returns a setting from `config show`: its value, its source and its place.
fn setting<'r>(rows: &'r Value, name: &str) -> (&'r Value, &'r Value, &'r Value) {
    let rows = rows.as_array().expect("a list");
    let row = rows.iter().find(|row| row["name"] == name);
    let row = row.unwrap_or_else(|| panic!("{name} is not there"));
    (&row["value"], &row["source"], &row["from"])
}

fn show(program: &Program, more: &[&str], variables: &[(&str, &str)]) -> Value {
    let mut command = program.command(&["config", "show", "--json"]);
    command.args(more).envs(variables.iter().copied());
    end(command.spawn().expect("it starts")).exits(0).json()
}

#[test]
fn each_setting_is_shown_with_where_it_comes_from() {
    let program = program();
    program.write(
        "cairn.toml",
        "project = \"blue\"\nzone = \"west\"\n\n[quota]\nvolumes = 3\n\n[records.names]\nmax_keys = 5\n",
    );
    let rows = show(
        &program,
        &["--db", "x.db", "--default-volume-type", "gold"],
        &[("CAIRN_ZONE", "east"), ("CAIRN_USER", "ann")],
    );
    for (name, value, source, from) in [
        ("db", json!("x.db"), "flag", json!("--db")),
        (
            "default_volume_type",
            json!("gold"),
            "flag",
            json!("--default-volume-type"),
        ),
        ("zone", json!("east"), "variable", json!("CAIRN_ZONE")),
        ("user", json!("ann"), "variable", json!("CAIRN_USER")),
        ("project", json!("blue"), "file", json!("cairn.toml:1")),
        ("quota.volumes", json!(3), "file", json!("cairn.toml:5")),
        (
            "records.names.max_keys",
            json!(5),
            "file",
            json!("cairn.toml:8"),
        ),
        ("quota.snapshots", json!(10), "default", json!(null)),
        ("log_level", json!("warn"), "default", json!(null)),
    ] {
        assert_eq!(
            setting(&rows, name),
            (&value, &json!(source), &from),
            "{name}"
        );
    }
    let text = program.run(&["config", "show"]).exits(0).stdout;
    let line = text.lines().find(|line| line.starts_with("zone "));
    assert!(
        line.is_some_and(|line| line.ends_with("cairn.toml:2")),
        "{text}"
    );
}

#[test]
fn what_is_wrong_with_the_settings_is_told_with_its_line() {
    let program = program();
    let check = || program.run(&["config", "check"]);
    assert!(check().exits(0).stdout.contains("there is no cairn.toml"));
    program.write(
        "cairn.toml",
        "policy = \"rules.json\"\n\n[quota]\nvolumes = 3\n",
    );
    check().exits(2).says(&["rules.json"]);
    program.write("rules.json", "{}");
    let text = check().exits(0).stdout;
    assert!(
        text.contains("cairn.toml: 2 settings, no problem was found"),
        "{text}"
    );
    assert_eq!(
        program.json(&["config", "check", "--json"]),
        json!({"file": "cairn.toml", "settings": 2, "policy": "rules.json"})
    );
    program.write("cairn.toml", "[quota]\nvolume = 3\n");
    check().exits(2).says(&["volume", "--> cairn.toml:2"]);
}
