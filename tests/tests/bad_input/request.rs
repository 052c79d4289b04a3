use acceptance::program::{Program, volume_create};
use serde_json::Value;

use super::program;

/// Runs the first example with this request, which must be refused, first without a database and then with one.
#[track_caller]
fn request_refused(request: &str, words: &[&str]) {
    let program = program();
    program
        .write("request.json", request)
        .write("good.json", "{\"size\": 1}");
    let flow = volume_create();
    let run = || {
        program
            .run(&["run", &flow, "--input", "request.json", "--json"])
            .exits(2)
            .says(words)
    };
    assert_eq!(run().stdout, "");
    assert!(!program.has_database(), "a database was made");
    program
        .run(&["run", &flow, "--input", "good.json"])
        .exits(0);
    let before = everything(&program);
    run();
    assert_eq!(everything(&program), before);
}

/// Returns everything in the database that commands can list.
fn everything(program: &Program) -> Vec<Value> {
    [
        &["flows", "list", "--json"][..],
        &["volumes", "list", "--json"],
        &["quota", "show", "--json"],
    ]
    .map(|arguments| program.json(arguments))
    .to_vec()
}

#[test]
fn a_request_with_a_wrong_type() {
    request_refused(
        r#"{"size": "2"}"#,
        &[
            "the request's `size` must be a whole number of GiB, not `\"2\"`",
            "--> request.json",
            "help: write, for example, \"size\": 1",
        ],
    );
}

#[test]
fn a_request_with_an_unknown_key() {
    request_refused(
        r#"{"sise": 2}"#,
        &[
            "the request has an unknown key `sise`",
            "--> request.json",
            "did you mean `size`?",
        ],
    );
}

#[test]
fn a_request_that_is_no_json() {
    request_refused(
        "{\"size\": 2,\n \"size\": 3}",
        &[
            "\"size\" stands twice",
            "--> request.json:2",
            "one JSON object",
        ],
    );
    request_refused(
        "[]",
        &[
            "a request must be one JSON object",
            "--> request.json",
            "{\"size\": 1}",
        ],
    );
}

#[test]
fn a_request_that_names_what_is_not_there() {
    request_refused(
        r#"{"size": 2, "volume_type": "gold"}"#,
        &[
            "the request's `volume_type`: there is no volume type `gold`",
            "--> request.json",
            "`cairn type list` shows the volume types",
        ],
    );
}
