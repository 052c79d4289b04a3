//! Abbreviated ids.

use acceptance::program::Program;
use serde_json::Value;

use super::{create, program, sql};

fn id(document: &Value) -> String {
    document["id"].as_str().expect("an id").to_owned()
}

/// Returns the first 8 characters.
fn short(id: &str) -> &str {
    &id[..8]
}

/// Copies the only row of a table, under another id with the same first 8 characters.
fn twin(program: &Program, table: &str) {
    let other = match table {
        "flows" => "CAST(substr(id, 1, 4) || x'000070008000000000000000' AS BLOB)",
        _ => "substr(id, 1, 9) || '0000-7000-8000-000000000000'",
    };
    sql(
        program,
        &format!(
            "CREATE TEMP TABLE twin AS SELECT * FROM {table}; UPDATE twin SET id = {other};
             INSERT INTO {table} SELECT * FROM twin"
        ),
    );
}

#[test]
fn every_command_on_flows_takes_an_id_that_is_shortened_to_8_characters() {
    let program = program();
    let report = create(&program, r#"{"size": 1}"#, &[], 0);
    let flow = id(&report["flow"]);
    let bare = flow.replace('-', "");
    for shortened in [
        short(&flow),
        &flow[..10],
        &flow[..35],
        &bare[..12],
        &bare,
        &flow.to_uppercase()[..9],
    ] {
        assert_eq!(
            program.json(&["flows", "show", shortened, "--json"]),
            report,
            "{shortened}"
        );
    }
    for command in ["events", "logs"] {
        let whole = program.json(&["flows", command, &flow, "--json"]);
        let shortened = program.json(&["flows", command, short(&flow), "--json"]);
        assert_eq!(shortened, whole, "{command}");
    }
    // The rollback leaves the volume, in `error`.
    let rolled_back = program.run(&["flows", "rollback", short(&flow), "--json"]);
    let report = rolled_back.exits(0).json();
    assert_eq!(
        (report["flow"]["id"].as_str(), &report["flow"]["state"]),
        (Some(flow.as_str()), &Value::from("FAILURE"))
    );
    for command in ["interrupt", "resume", "reset"] {
        // Each is refused, if at all, for the flow's state, so the flow was identified.
        let run = program.run(&["flows", command, short(&flow)]);
        let told = format!("{}{}", run.stdout, run.stderr);
        assert!(!told.contains("begins with"), "{command}: {told}");
    }
}

#[test]
fn an_id_that_is_too_short_or_of_no_flow_or_of_several_is_refused() {
    let program = program();
    let flow = id(&create(&program, r#"{"size": 1}"#, &[], 0)["flow"]);
    for (shortened, why) in [
        (&flow[..7], "write at least 8 characters of the id"),
        ("00000000", "no flow's id begins with `00000000`"),
        ("volume-create", "32 hexadecimal digits"),
        (&flow.replace('-', "_")[..12], "32 hexadecimal digits"),
    ] {
        for command in ["show", "rollback"] {
            let run = program.run(&["flows", command, shortened]).exits(2);
            run.says(&[why]);
        }
    }
    twin(&program, "flows");
    let run = program.run(&["flows", "rollback", short(&flow)]).exits(2);
    run.says(&["several flows", &flow, "write more of it"]);
    program.run(&["flows", "show", &flow]).exits(0);
    program.run(&["flows", "show", &flow[..18]]).exits(0);
}

/// Returns one row of each kind, with the words that show it.
fn things(program: &Program) -> Vec<(&'static str, String)> {
    let volume = [
        "volume", "import", "--size", "1", "--name", "data", "--json",
    ];
    let snapshot = [
        "snapshots",
        "create",
        "--volume",
        "data",
        "--name",
        "s",
        "--json",
    ];
    program.write("image.raw", "image");
    vec![
        ("volumes", id(&program.json(&volume))),
        ("snapshots", id(&program.json(&snapshot))),
        (
            "types",
            id(&program.json(&["types", "create", "gold", "--json"])),
        ),
        (
            "images",
            id(&program.json(&["images", "create", "image.raw", "--json"])),
        ),
    ]
}

#[test]
fn what_shows_something_takes_a_shortened_id_and_what_changes_something_does_not() {
    let program = program();
    for (noun, whole) in things(&program) {
        let show = |id: &str| program.json(&[noun, "show", id, "--json"]);
        assert_eq!(show(short(&whole)), show(&whole), "{noun}");
        program.run(&[noun, "show", &whole[..7]]).exits(2);
        let delete = program.run(&[noun, "delete", short(&whole)]).exits(2);
        delete.says(&[&format!("`{whole}` is meant"), "write the whole id"]);
        assert_eq!(id(&show(&whole)), whole, "{noun} is still there");
    }
    let volume = id(&program.json(&["volumes", "show", "data", "--json"]));
    let short = short(&volume);
    for arguments in [
        &["volumes", "set", short, "--status", "error"][..],
        &["snapshots", "create", "--volume", short],
    ] {
        let run = program.run(arguments).exits(2);
        run.says(&["write the whole id"]);
    }
    let snapshot = id(&program.json(&["snapshots", "show", "s", "--json"]));
    let request = format!(r#"{{"size": 1, "snapshot_id": "{}"}}"#, &snapshot[..8]);
    let [run, flow, input, file] = super::request(&program, &request);
    let run = program.run(&[&run, &flow, &input, &file]).exits(2);
    run.says(&["the request's `snapshot_id`", "write the whole id"]);
    create(&program, r#"{"size": 1}"#, &[], 0);
    let message = id(&program.json(&["outbox", "list", "--json"])[0]);
    program.run(&["outbox", "ack", &message[..8]]).exits(2);
}

#[test]
fn a_shortened_id_that_several_have_is_refused_and_a_name_comes_before_it() {
    let program = program();
    for (noun, whole) in things(&program) {
        let table = match noun {
            "types" => "volume_types",
            other => other,
        };
        // Names of types are unique.
        if noun == "types" {
            sql(&program, "DROP INDEX volume_types_by_name");
        }
        twin(&program, table);
        let run = program.run(&[noun, "show", short(&whole)]).exits(2);
        run.says(&["have an id that begins with", &whole, "write more of it"]);
        let shown = program.json(&[noun, "show", &whole[..13], "--json"]);
        assert_eq!(id(&shown), whole, "{noun}");
    }
    let volume = program.json(&["volumes", "list", "--json"])[1]["id"].clone();
    let name = short(volume.as_str().expect("an id")).to_owned();
    let named = ["volume", "import", "--size", "2", "--name", &name, "--json"];
    let named = id(&program.json(&named));
    let shown = program.json(&["volumes", "show", &name, "--json"]);
    assert_eq!(id(&shown), named, "the name wins");
    program.run(&["volumes", "delete", &name]).exits(0);
}

#[test]
fn a_shortened_id_finds_nothing_of_another_project() {
    let program = program();
    let volume = [
        "volume",
        "import",
        "--size",
        "1",
        "--project",
        "theirs",
        "--json",
    ];
    let whole = id(&program.json(&volume));
    for arguments in [
        ["volumes", "show", short(&whole)],
        ["volumes", "delete", short(&whole)],
    ] {
        let run = program.run(&arguments).exits(2);
        let run = run.says(&[&format!("there is no volume `{}`", short(&whole))]);
        assert!(!run.stderr.contains(&whole), "{}", run.stderr);
    }
    // It does not conflict with an id of the own project either.
    let own = id(&program.json(&["volume", "import", "--size", "1", "--json"]));
    let both = own.bytes().zip(whole.bytes());
    let common = both.take_while(|(own, theirs)| own == theirs).count();
    let shown = program.json(&["volumes", "show", &own[..common.max(8)], "--json"]);
    assert_eq!(id(&shown), own);
    let admin = ["volumes", "show", &whole, "--admin", "--json"];
    assert_eq!(id(&program.json(&admin)), whole);
}
