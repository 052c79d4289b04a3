//! `--input`: a file, `-`, or the object itself.

use std::io::Write as _;
use std::process::Stdio;

use acceptance::program::{Program, Run, end, volume_create};
use serde_json::json;

use super::program;

/// Runs the program with some text on stdin.
fn piped(program: &Program, arguments: &[&str], text: &str) -> Run {
    let mut command = program.command(arguments);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(text.as_bytes()).expect("it is read");
    drop(stdin);
    end(child)
}

#[test]
fn a_request_may_be_the_argument_itself() {
    let program = program();
    let flow = volume_create();
    let run = |input: &str| program.run(&["run", &flow, "--json", "--input", input]);
    let report = run(r#"{"size": 2, "name": "inline"}"#).exits(0).json();
    assert_eq!(report["flow"]["state"], "SUCCESS");
    let volumes = program.json(&["volume", "list", "--json"]);
    assert_eq!(
        (&volumes[0]["size"], &volumes[0]["display_name"]),
        (&json!(2), &json!("inline"))
    );
    // An envelope as well; errors are reported without a file name.
    let again = r#"{"request": {"size": 1}, "key": "k"}"#;
    let first = run(again).exits(0).json();
    assert_eq!(run(again).exits(0).json()["flow"], first["flow"]);
    let wrong = run(r#"{"size": }"#).exits(2);
    assert!(!wrong.stderr.contains("-->"), "{}", wrong.stderr);
    run("[1]").exits(2).says(&[
        "name an existing file",
        "begins with `{` is the document itself",
    ]);
    // With several inputs, each report names its own.
    let many = [
        "run",
        &flow,
        "-i",
        r#"{"size": 1}"#,
        "-i",
        r#"{"size": 0}"#,
        "--json",
    ];
    let many = program.run(&many).exits(3).stdout;
    for argument in [r#""argument":1"#, r#""argument":2"#] {
        assert!(many.contains(argument), "{many}");
    }
}

#[test]
fn a_tasks_inputs_and_a_records_value_may_come_from_anywhere() {
    let program = program();
    program
        .write("cairn.toml", "[records.things]\n")
        .write("value.json", r#"{"size": 3}"#);
    let call = [
        "plugin",
        "call",
        "builtin:inject",
        "--settings",
        r#"{"provides": ["size"]}"#,
        "--json",
        "--inputs",
    ];
    let put = ["record", "put", "things", "a", "--json", "--input"];
    for (source, stdin) in [
        ("value.json", ""),
        ("-", r#"{"size": 3}"#),
        (r#"{"size": 3}"#, ""),
    ] {
        let called = piped(&program, &[&call[..], &[source]].concat(), stdin);
        assert_eq!(
            called.exits(0).json()["result"],
            json!({"size": 3}),
            "{source}"
        );
        piped(&program, &[&put[..], &[source]].concat(), stdin).exits(0);
        let record = program.json(&["record", "show", "things", "a", "--json"]);
        assert_eq!(record["value"], json!({"size": 3}), "{source}");
        program.run(&["record", "remove", "things", "a"]).exits(0);
    }
    program.write("list.json", "[1]");
    program
        .run(&[&call[..], &["list.json"]].concat())
        .exits(2)
        .says(&["the inputs: this is not a JSON object", "--> list.json"]);
    let check = ["policy", "check", "--rule", "volume:create"];
    let user = r#"{"user_id": "ann", "project_id": "blue"}"#;
    let inline = ["--as", user, "--target", r#"{"project_id": "blue"}"#];
    program.run(&[&check[..], &inline].concat()).exits(0);
}
