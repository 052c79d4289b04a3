//! A request and its idempotency key in one document, in a file as in a stream.

use super::many::{count, reports, stream};
use super::{program, request};
use acceptance::program::{Program, Run, volume_create};

/// Runs a flow with this document in a file, and more arguments.
fn run(program: &Program, document: &str, more: &[&str]) -> Run {
    let arguments = request(program, document);
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    arguments.extend(more);
    program.run(&arguments)
}

#[test]
fn an_envelope_in_a_file_is_that_of_a_stream() {
    let program = program();
    let envelope = r#"{"request": {"size": 2}, "key": "k"}"#;
    let first = run(&program, envelope, &["--json"]).exits(0).json();
    let again = run(&program, r#"{"size": 2}"#, &["--key", "k", "--json"]);
    assert_eq!(again.exits(0).json(), first);
    let streamed = stream(&program, &volume_create(), envelope).exits(0);
    assert_eq!(reports(&streamed)[0]["flow"], first["flow"]);
    // Without a key it is an ordinary request, and a key may be given as an argument.
    run(&program, r#"{"request": {"size": 1}}"#, &[]).exits(0);
    run(
        &program,
        r#"{"request": {"size": 1}, "key": null}"#,
        &["--key", "other"],
    )
    .exits(0);
    run(&program, r#"{"size": 1}"#, &["--key", "other"]).exits(0);
    assert_eq!(count(&program, "volumes"), 3);
}

#[test]
fn files_of_one_run_have_keys_of_their_own() {
    let program = program();
    program
        .write("a.json", r#"{"request": {"size": 1}, "key": "a"}"#)
        .write("b.json", r#"{"request": {"size": 1}, "key": "b"}"#);
    let flow = volume_create();
    for _ in 0..2 {
        let run = program.run(&["run", &flow, "-i", "a.json", "-i", "b.json", "--json"]);
        let reports = reports(&run.exits(0));
        let mut keys: Vec<_> = reports.iter().map(|report| &report["key"]).collect();
        keys.sort_by_key(|key| key.as_str());
        assert_eq!(keys, ["a", "b"]);
    }
    assert_eq!(count(&program, "volumes"), 2);
}

#[test]
fn an_envelope_that_is_wrong_is_refused_with_its_file_and_nothing_runs() {
    let program = program();
    for (document, more, words) in [
        (
            r#"{"request": {"size": 1}, "size": 1}"#,
            &[][..],
            "an envelope has no field `size`",
        ),
        (
            r#"{"request": {"size": 1}, "key": 5}"#,
            &[],
            "`key` must be a string that is not empty",
        ),
        (
            r#"{"request": {"size": 1}, "key": ""}"#,
            &[],
            "`key` must be a string that is not empty",
        ),
        (
            r#"{"request": [1]}"#,
            &[],
            "a request must be one JSON object",
        ),
        (
            r#"{"request": {"request": {"size": 1}}}"#,
            &[],
            "unknown key `request`",
        ),
        (
            r#"{"request": {"size": 1}, "key": "k"}"#,
            &["--key", "k"],
            "a key in its envelope, and --key names one too",
        ),
    ] {
        run(&program, document, more)
            .exits(2)
            .says(&[words, "request.json"]);
    }
    assert!(!program.has_database());
}
