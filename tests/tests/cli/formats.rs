//! Output formats: `-o table|json|jsonl`, and `--json`.

use acceptance::program::volume_create;
use serde_json::{Value, json};

use super::{create, program};

/// Parses the documents of some lines.
fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

#[test]
fn a_list_is_a_table_a_document_or_a_line_a_row() {
    let program = program();
    create(&program, r#"{"size": 1}"#, &[], 0);
    create(&program, r#"{"size": 0}"#, &[], 3);
    program.run(&["flow", "deploy", &volume_create()]).exits(0);
    for list in [
        &["flow", "list"][..],
        &["flow", "versions"],
        &["token", "list"],
        &["volume", "list"],
        &["quota", "show"],
        &["record", "list", "things"],
        &["zone", "list"],
        &["db", "check"],
        &["quota", "check"],
        &["config", "show"],
        &["flow", "list", "--page"],
    ] {
        program.write("cairn.toml", "[records.things]\n");
        let print = |more: &[&str]| program.run(&[list, more].concat());
        let json = print(&["--json"]).exits(0).json();
        assert_eq!(print(&["-o", "json"]).exits(0).json(), json, "{list:?}");
        let jsonl = lines(&print(&["-o", "jsonl"]).exits(0).stdout);
        match &json {
            Value::Array(rows) => assert_eq!(&jsonl, rows, "{list:?}"),
            other => assert_eq!(jsonl, std::slice::from_ref(other), "{list:?}"),
        }
        if !list.contains(&"--page") {
            let table = print(&["-o", "table"]).exits(0).stdout;
            assert_eq!(print(&[]).exits(0).stdout, table, "{list:?}");
            assert!(serde_json::from_str::<Value>(&table).is_err(), "{list:?}");
        }
        print(&["--json", "-o", "table"])
            .exits(2)
            .says(&["cannot be used with"]);
    }
}

#[test]
fn the_option_of_a_run_is_of_its_report_and_not_of_its_requests() {
    let program = program();
    program.write("request.json", r#"{"size": 1}"#);
    let flow = volume_create();
    let run = ["run", &flow, "--input", "request.json"];
    let report = program
        .run(&[&run[..], &["-o", "jsonl"]].concat())
        .exits(0)
        .stdout;
    let report = lines(&report);
    assert_eq!(
        (report.len(), &report[0]["flow"]["state"]),
        (1, &json!("SUCCESS"))
    );
    let text = program.run(&[&run[..], &["-o", "table"]].concat()).exits(0);
    assert!(text.stdout.starts_with("flow  "), "{}", text.stdout);
    let many = [&run[..], &["--input", "request.json", "-o", "json"]].concat();
    let many = program.run(&many).exits(0).stdout;
    assert_eq!(lines(&many).len(), 2, "{many}");
}

#[test]
fn a_plan_has_the_same_option_and_its_old_name() {
    let program = program();
    let flow = volume_create();
    let plan = |more: &[&str]| program.run(&[&["plan", &flow], more].concat()).exits(0);
    let json = plan(&["--json"]).json();
    for more in [&["-o", "json"][..], &["--format", "json"], &["-o", "jsonl"]] {
        assert_eq!(plan(more).json(), json, "{more:?}");
    }
    assert!(plan(&["-o", "mermaid"]).stdout.starts_with("flowchart"));
    assert_eq!(plan(&["-o", "table"]).stdout, plan(&[]).stdout);
}
