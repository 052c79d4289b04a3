//! `cairn record`, and the collections in `cairn.toml`.

use serde_json::{Value, json};

use super::program;
use acceptance::guest::Call;
use acceptance::program::Program;

fn set_up(config: &str) -> Program {
    let program = program();
    program.write("cairn.toml", config);
    program
}

#[test]
fn an_operator_puts_shows_lists_and_removes_records() {
    let program = set_up("[records.dns]\nmax_keys = 3\n");
    let put = program.json(&["record", "put", "dns", "www", r#"{"a": 1}"#, "--json"]);
    assert_eq!(
        put,
        json!({"collection": "dns", "key": "www", "version": 1})
    );
    program.write("value.json", "[1, 2]");
    program
        .run(&["records", "put", "dns", "mail", "--input", "value.json"])
        .exits(0);
    let shown = program.json(&["record", "show", "dns", "mail", "--json"]);
    assert_eq!(
        (&shown["value"], &shown["version"], &shown["held"]),
        (&json!([1, 2]), &json!(2), &Value::Null)
    );
    let listed = program.run(&["record", "list", "dns"]).exits(0).stdout;
    assert!(
        listed.contains("mail") && listed.contains(r#"{"a":1}"#),
        "{listed}"
    );
    let page = program.json(&["record", "list", "dns", "--limit", "1", "--json", "--page"]);
    assert_eq!(
        (&page["rows"][0]["key"], &page["next"]),
        (&json!("mail"), &json!("mail"))
    );
    let page = program.json(&[
        "record", "list", "dns", "--cursor", "mail", "--json", "--page",
    ]);
    assert_eq!(
        (&page["rows"][0]["key"], &page["next"]),
        (&json!("www"), &Value::Null)
    );
    let other = program.json(&["record", "list", "dns", "--project", "other", "--json"]);
    assert_eq!(other, json!([]));
    program.run(&["record", "remove", "dns", "www"]).exits(0);
    program
        .run(&["record", "show", "dns", "www"])
        .exits(2)
        .says(&["has no record `www`"]);
    program
        .run(&["record", "remove", "dns", "www"])
        .exits(2)
        .says(&["has no record `www`"]);
}

#[test]
fn what_is_expected_and_what_does_not_fit_is_refused() {
    let program = set_up("[records.dns]\nmax_keys = 1\n[records.dns.schema]\ntype = 'integer'\n");
    program
        .run(&["record", "put", "dns", "a", "1", "--expect", "absent"])
        .exits(0);
    program
        .run(&["record", "put", "dns", "a", "2", "--expect", "absent"])
        .exits(6)
        .says(&["has version 1, and no record was expected"]);
    program
        .run(&["record", "put", "dns", "a", "2", "--expect", "1"])
        .exits(0);
    for (arguments, exit, words) in [
        (
            &["put", "dns", "b", "1"][..],
            6,
            "raise `max_keys` of [records.dns]",
        ),
        (
            &["put", "dns", "a", "\"text\""],
            2,
            "does not fit the schema",
        ),
        (&["put", "dns", "a", "text"], 2, "the value is no JSON"),
        (
            &["put", "dns", "a", "1", "--expect", "new"],
            2,
            "write `absent`",
        ),
        (&["put", "dns", "a"], 2, "<VALUE"),
        (
            &["put", "ip", "a", "1"],
            2,
            "the operator adds [records.ip] to cairn.toml",
        ),
        (
            &["list", "ip"],
            2,
            "the operator adds [records.ip] to cairn.toml",
        ),
        (
            &["counters", "ip"],
            2,
            "the operator adds [records.ip] to cairn.toml",
        ),
    ] {
        let arguments = [&["record"], arguments].concat();
        program.run(&arguments).exits(exit).says(&[words]);
    }
    let shown = program.json(&["record", "show", "dns", "a", "--json"]);
    assert_eq!(shown["value"], 2);
}

#[test]
fn an_admin_lists_the_records_of_all_projects_in_pages() {
    let program = set_up("[records.dns]\n[records.ip]\n");
    for (project, collection, key) in [
        ("b", "dns", "www"),
        ("a/b%2F", "dns", "mail"),
        ("a/b%2F", "dns", "x/y"),
        ("a", "dns", "www"),
        ("a", "ip", "www"),
    ] {
        let put = ["record", "put", collection, key, "1", "--project", project];
        program.run(&put).exits(0);
    }
    let list = ["record", "list", "dns", "--all-projects"];
    let admin = [&list[..], &["--admin", "--json"]].concat();
    let all = program.json(&admin);
    let places = |rows: &Value| {
        let rows = rows.as_array().expect("a list").iter();
        let place = |row: &Value| (row["project_id"].clone(), row["key"].clone());
        rows.map(place).collect::<Vec<_>>()
    };
    let expected = [
        ("a", "www"),
        ("a/b%2F", "mail"),
        ("a/b%2F", "x/y"),
        ("b", "www"),
    ];
    let expected = expected.map(|(project, key)| (json!(project), json!(key)));
    assert_eq!(places(&all), expected);

    let mut found = Vec::new();
    let mut cursor = None::<String>;
    for _ in 0..expected.len() {
        let mut page = [&admin[..], &["--page", "--limit", "1"]].concat();
        page.extend(cursor.iter().flat_map(|cursor| ["--cursor", cursor]));
        let page = program.json(&page);
        found.extend(places(&page["rows"]));
        cursor = page["next"].as_str().map(str::to_owned);
    }
    assert_eq!((found, cursor), (expected.to_vec(), None));
    let prefix = program.json(&[&admin[..], &["--prefix", "w"]].concat());
    assert_eq!(places(&prefix), [expected[0].clone(), expected[3].clone()]);

    let text = program.run(&[&list[..], &["--admin"]].concat()).exits(0);
    assert!(
        text.stdout.starts_with("PROJECT_ID  KEY"),
        "{}",
        text.stdout
    );
    program
        .run(&list)
        .exits(6)
        .says(&["are shown to admins only", "help: add --admin"]);
    program
        .run(&[&admin[..], &["--cursor", "www"]].concat())
        .exits(2)
        .says(&["`www` is not a cursor", "PROJECT/KEY"]);
    program
        .run(&["record", "list", "tls", "--all-projects", "--admin"])
        .exits(2)
        .says(&["the operator adds [records.tls]"]);
}

#[test]
fn counters_are_shown_with_their_bounds() {
    let program = set_up("[records.dns.counters.zones]\nmin = 0\n[records.dns.counters.all]\n");
    program.run(&["record", "put", "dns", "a", "1"]).exits(0);
    let counters = program.json(&["record", "counters", "dns", "--json"]);
    let counter = |name: &str, min: Value| json!({"counter": name, "value": 0, "pending_up": 0, "pending_down": 0, "min": min, "max": null});
    assert_eq!(
        counters,
        json!([counter("all", Value::Null), counter("zones", json!(0))])
    );
    let text = program.run(&["record", "counters", "dns"]).exits(0).stdout;
    assert!(text.contains("zones"), "{text}");
}

#[test]
fn settings_of_records_that_are_wrong_are_told_with_their_line() {
    for (config, words) in [
        ("[records.dns]\nmax_key = 1", "cairn.toml:2"),
        (
            "[records.dns]\nschema = 'none.json'",
            "none.json, which cannot be read",
        ),
        (
            "[records.dns]\nschema = { type = 'odd' }",
            "`records.dns.schema` cannot be used",
        ),
        ("records = 1", "`records` must be a table"),
    ] {
        let program = set_up(config);
        program
            .run(&["record", "list", "dns"])
            .exits(2)
            .says(&[words]);
    }
}

#[test]
fn a_plugin_that_was_not_granted_records_may_be_granted_them_in_part() {
    let program = set_up("[records.dns]\n");
    program.write("behaves.wat", Call::Behaves.component());
    let plan = |grant: &str| {
        let flow = format!(
            "[flow]\nname = 'f'\n[plugins.a]\npath = 'behaves.wat'\ngrants = {{ records = {grant} }}\n[[task]]\nplugin = 'a'\n"
        );
        program.write("flow.toml", flow);
        program.run(&["plan", "flow.toml"])
    };
    for grant in [
        "true",
        "{ access = 'read' }",
        "{ collections = ['dns', 'ip_*'], access = 'write' }",
    ] {
        plan(grant).exits(0);
    }
    plan("{ access = 'all' }")
        .exits(2)
        .says(&["write \"read\" or \"write\"", "flow.toml:5"]);
    plan("{ collection = ['dns'] }")
        .exits(2)
        .says(&["did you mean `collections`?"]);
}

#[test]
fn a_release_needs_a_flow_that_holds_the_key_and_a_reason() {
    let program = set_up("[records.dns]\n");
    program.run(&["record", "put", "dns", "a", "1"]).exits(0);
    let flow = "0192f0c1-2345-7000-8000-000000000000";
    let release = ["record", "release", "dns", "a", "--flow", flow];
    program.run(&release).exits(2).says(&["--reason"]);
    let release = [&release[..], &["--reason", "it is stuck"]].concat();
    program
        .run(&release)
        .exits(6)
        .says(&["does not hold `a`", "no flow does"]);
}
