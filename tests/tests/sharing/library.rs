//! Programs that embed Cairn, as hosts of a shared database.

use acceptance::program::Program;
use cairn::event::FlowState;
use cairn::{Cairn, CairnBuilder, HostError, Identity};
use serde_json::json;

use super::two;

/// A program that reads the settings in this folder.
fn program(folder: &Program) -> CairnBuilder {
    let builder = Cairn::builder().config(folder.path("cairn.toml"));
    builder.cache(folder.beside("acceptance-cache"))
}

#[track_caller]
fn starts(builder: CairnBuilder) -> Cairn {
    builder.build().expect("it starts")
}

#[track_caller]
fn differs(builder: CairnBuilder, settings: &str) {
    let Err(error) = builder.build() else {
        panic!("a host with other settings started");
    };
    let text = error.to_string();
    let named = format!("works on this database: {settings}");
    assert!(text.contains(&named), "{text}");
}

#[track_caller]
fn runs(cairn: &Cairn, folder: &Program) {
    let flow = cairn.flow(folder.path("flow.toml")).expect("it is planned");
    let report = flow.run(&Identity::new("ann", "acme"), json!({"size": 1}));
    let state = report.map(|report| report.flow.state);
    assert!(matches!(state, Ok(FlowState::Success)), "{state:?}");
}

#[test]
fn a_program_is_a_host_of_the_database_that_its_settings_name() {
    let Some((database, [first, second])) = two() else {
        return;
    };
    for folder in [&first, &second] {
        folder.write(
            "flow.toml",
            "[flow]\nname = 'sizes'\n[plugins.inject]\nbuiltin = 'inject'\nsettings = { provides = ['size'] }\n[[task]]\nplugin = 'inject'\n",
        );
    }
    let here = starts(program(&first));
    runs(&here, &first);
    // Another program, and the command line, run flows at the host that owns the project.
    runs(&starts(program(&second)), &second);
    let command = second.run(&["run", "flow.toml", "--input", r#"{"size": 2}"#]);
    command.exits(0);
    let flows = "SELECT count(*) FROM cairn.flows WHERE state = 'SUCCESS'";
    assert_eq!(database.sql(flows), "3");
    // What a program and the command line agree on is the same, and what they do not is named.
    let quota = "[quota]\nvolumes = 7\n[records.greetings]\nmax_keys = 1\n";
    let settings = std::fs::read_to_string(second.path("cairn.toml")).expect("settings");
    second.write("cairn.toml", format!("{settings}{quota}"));
    differs(
        program(&second),
        "quota.volumes, records.greetings.max_keys",
    );
    let refused = second.run(&["type", "create", "gold"]).exits(2);
    refused.says(&["quota.volumes, records.greetings.max_keys"]);
}

#[test]
fn a_program_names_what_else_its_rules_depend_on() {
    let Some((_database, [first, second])) = two() else {
        return;
    };
    let said = |folder, value: &str| program(folder).agrees_on("rates.version", value);
    let first = starts(said(&first, "7"));
    differs(said(&second, "8"), "rates.version");
    differs(program(&second), "rates.version");
    drop(starts(said(&second, "7")));
    drop(first);
    drop(starts(said(&second, "8")));
}

#[test]
fn a_program_that_names_a_server_wrongly_is_told_what_is_wrong() {
    for (name, problem) in [
        ("postgres://ann:secret@127.0.0.1/flows", "password"),
        ("postgres://127.0.0.1:1/flows?what=1", "a parameter besides"),
    ] {
        let error = Cairn::builder().database(name).build();
        let Err(HostError::Invalid(error)) = error else {
            panic!("{name} is refused: {error:?}");
        };
        let text = error.to_string();
        assert!(text.contains(problem) && !text.contains("secret"), "{text}");
    }
}
