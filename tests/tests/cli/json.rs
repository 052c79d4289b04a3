//! The accepted JSON, wherever it is read.

use super::{create, program, request, result};
use acceptance::program::{Program, Run, end, volume_create};
use std::process::Stdio;

const BOM: &str = "\u{feff}";

/// A double whose value changes if its digits are divided by a power of ten.
const FLOAT: &str = "0.9452706955539223";

fn run(program: &Program, body: &str) -> Run {
    let arguments = request(program, body);
    program.run(&arguments.each_ref().map(String::as_str))
}

#[test]
fn a_number_that_would_be_changed_is_refused_with_its_place() {
    let program = program();
    for number in [
        "12345678901234567890123",
        "18446744073709551616",
        "-9223372036854775809",
        "3.14159265358979323846",
        "1e-400",
    ] {
        let body = format!("{{\"size\": 1,\n \"scheduler_hints\": {{\"id\": {number}}}}}");
        run(&program, &body).exits(2).says(&[
            &format!("the request cannot be taken: the number {number} has more digits"),
            "write it as text",
            "request.json:2",
        ]);
        let inputs = format!("{{\"id\": {number}}}");
        program
            .run(&["plugin", "call", "builtin:inject", "--inputs", &inputs])
            .exits(2)
            .says(&[number]);
    }
    assert!(!program.has_database());
    program.write("user.json", r#"{"user_id": "ann", "project_id": "blue"}"#);
    program.write("target.json", r#"{"id": 12345678901234567890123}"#);
    program
        .run(&[
            "policy",
            "check",
            "--rule",
            "r",
            "--as",
            "user.json",
            "--target",
            "target.json",
        ])
        .exits(2)
        .says(&["the target cannot be taken: the number 12345678901234567890123"]);
}

#[test]
fn a_number_is_the_same_in_the_report_and_in_the_journal() {
    let program = program();
    let numbers = [
        "18446744073709551615",
        "-9223372036854775808",
        "0.30000000000000004",
        FLOAT,
        "5e-324",
    ];
    let body = format!(
        "{{\"size\": 1, \"scheduler_hints\": {{\"n\": [{}]}}}}",
        numbers.join(",")
    );
    let report = create(&program, &body, &[], 0);
    let hints = &result(&report, "inject")["scheduler_hints"]["n"];
    let expected: Vec<_> = numbers.iter().map(|number| (*number).to_owned()).collect();
    let written = |hints: &serde_json::Value| -> Vec<String> {
        let hints = hints.as_array().expect("a list");
        hints.iter().map(ToString::to_string).collect()
    };
    assert_eq!(written(hints), expected);
    let flow = report["flow"]["id"].as_str().expect("an id");
    let shown = program.json(&["flows", "show", flow, "--json"]);
    let hints = &result(&shown, "inject")["scheduler_hints"]["n"];
    assert_eq!(written(hints), expected);
}

#[test]
fn a_byte_order_mark_before_a_document_is_skipped() {
    let program = program();
    create(&program, &format!("{BOM}{{\"size\": 1}}"), &[], 0);
    let mut child = program
        .command(&["run", &volume_create(), "--input", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let stdin = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut &stdin, format!("{BOM}{{\"size\": 2}}").as_bytes())
        .expect("the program reads");
    drop(stdin);
    end(child).exits(0);

    program
        .write(
            "policy.json",
            format!("{BOM}{{\"volume:extend\": \"role:member\"}}"),
        )
        .write(
            "policy",
            format!("{BOM}{{\"volume:extend\": \"role:member\"}}"),
        )
        .write(
            "user.json",
            format!(
                "{BOM}{{\"user_id\": \"ann\", \"project_id\": \"blue\", \"roles\": [\"member\"]}}"
            ),
        )
        .write("target.json", format!("{BOM}{{}}"));
    for policy in ["policy.json", "policy"] {
        program
            .run(&[
                "policy",
                "check",
                "--rule",
                "volume:extend",
                "--as",
                "user.json",
                "--target",
                "target.json",
                "--policy",
                policy,
            ])
            .exits(0);
    }
    program.write(
        "fake.json",
        format!("{BOM}{{\"default\": {{\"answer\": \"z\"}}}}"),
    );
    // The content is wrong, but the file is parsed.
    program
        .run(&[
            "plugin",
            "call",
            "builtin:inject",
            "--fake",
            "zones=fake.json",
        ])
        .exits(2)
        .says(&["`zones.default` cannot be faked"]);
}
