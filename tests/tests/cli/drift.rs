use acceptance::program::Program;
use serde_json::{Value, json};

use super::{create, killed_after, program, sql};

/// Creates a volume with a type and a snapshot in project demo, and a volume in project blue.
fn used() -> Program {
    let program = program();
    program.run(&["types", "create", "gold"]).exits(0);
    create(
        &program,
        r#"{"size": 3, "volume_type": "gold", "name": "v"}"#,
        &[],
        0,
    );
    program
        .run(&["volumes", "set", "v", "--status", "available"])
        .exits(0);
    program
        .run(&["snapshots", "create", "--volume", "v", "--name", "s"])
        .exits(0);
    create(&program, r#"{"size": 2}"#, &["--project", "blue"], 0);
    program
}

fn drift(project: &str, resource: &str, found: Value, expected: (i64, i64)) -> Value {
    json!({
        "project": project,
        "resource": resource,
        "found": found,
        "expected": {"in_use": expected.0, "reserved": expected.1},
    })
}

fn counters(in_use: i64, reserved: i64) -> Value {
    json!({"in_use": in_use, "reserved": reserved})
}

#[test]
fn usages_that_say_what_is_booked_are_no_difference() {
    let program = used();
    let run = program.run(&["quota", "check", "--admin"]).exits(0);
    assert_eq!(run.stdout, "no difference was found\n");
    assert_eq!(
        program.json(&["quota", "check", "--json"]),
        json!({"drift": []})
    );
    assert_eq!(
        program.json(&["quota", "sync", "--json"]),
        json!({"mended": []})
    );
}

#[test]
fn each_sort_of_drift_is_told_and_mended() {
    for (statement, expected) in [
        (
            "UPDATE quota_usages SET in_use = in_use + 2 WHERE project_id = 'demo' AND resource = 'volumes'",
            drift("demo", "volumes", counters(3, 0), (1, 0)),
        ),
        (
            "UPDATE quota_usages SET in_use = 4 WHERE project_id = 'demo' AND resource = 'gigabytes_gold'",
            drift("demo", "gigabytes_gold", counters(4, 0), (6, 0)),
        ),
        (
            "UPDATE quota_usages SET reserved = 7 WHERE project_id = 'demo' AND resource = 'gigabytes'",
            drift("demo", "gigabytes", counters(6, 7), (6, 0)),
        ),
        (
            "DELETE FROM quota_usages WHERE project_id = 'demo' AND resource = 'snapshots'",
            drift("demo", "snapshots", json!(null), (1, 0)),
        ),
    ] {
        let program = used();
        let limits = program.json(&["quota", "show", "--json"]);
        sql(&program, statement);
        for check in [
            &["quota", "check", "--json"][..],
            &["quota", "check", "--admin", "--json"],
        ] {
            let found = program.run(check).exits(6).json();
            assert_eq!(found, json!({"drift": [expected]}), "{statement}");
        }
        program
            .run(&["quota", "check", "--project", "blue"])
            .exits(0);
        let mended = program.json(&["quota", "sync", "--json"]);
        assert_eq!(mended, json!({"mended": [expected]}), "{statement}");
        program.run(&["quota", "check", "--admin"]).exits(0);
        assert_eq!(program.json(&["quota", "show", "--json"]), limits);
    }
}

#[test]
fn drift_is_shown_as_a_table_and_an_admin_sees_every_project() {
    let program = used();
    sql(
        &program,
        "UPDATE quota_usages SET in_use = 9, reserved = 1 WHERE project_id = 'blue' AND resource = 'volumes';
         DELETE FROM quota_usages WHERE project_id = 'demo' AND resource = 'snapshots_gold'",
    );
    program
        .run(&["quota", "check", "--project", "other", "--admin"])
        .exits(0);
    let table = program.run(&["quota", "check", "--admin"]).exits(6);
    let rows: Vec<Vec<&str>> = table
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows,
        [
            &[
                "PROJECT", "RESOURCE", "IN", "USE", "EXPECTED", "RESERVED", "EXPECTED"
            ][..],
            &["blue", "volumes", "9", "1", "1", "0"],
            &["demo", "snapshots_gold", "missing", "1", "missing", "0"],
        ]
    );
    assert_eq!(table.stderr, "");
    let mended = program.run(&["quota", "sync"]).exits(0).stdout;
    assert_eq!(mended, table.stdout);
    program.run(&["quota", "check", "--admin"]).exits(0);
}

#[test]
fn a_flow_that_was_killed_in_the_middle_is_no_drift() {
    for (task, in_use, reserved) in [
        ("quota-reserve", 0, 1),
        ("entry-create", 0, 1),
        ("quota-commit", 1, 0),
    ] {
        let program = program();
        killed_after(&program, task);
        let shown = program.json(&["quota", "show", "--json"]);
        let volumes = &shown["quotas"]["volumes"];
        assert_eq!(
            (&volumes["in_use"], &volumes["reserved"]),
            (&json!(in_use), &json!(reserved)),
            "{task}"
        );
        program.run(&["quota", "check", "--admin"]).exits(0);
        assert_eq!(
            program.json(&["quota", "sync", "--json"]),
            json!({"mended": []})
        );
    }
}

#[test]
fn a_reservation_that_lapsed_is_rolled_back_unless_its_flow_has_not_ended() {
    let program = program();
    killed_after(&program, "quota-reserve");
    sql(
        &program,
        "INSERT INTO reservations (id, project_id, resource, delta, expire, created_at)
             VALUES ('lapsed', 'demo', 'volumes', 2, 1, 0), ('good', 'demo', 'volumes', 4, 1 << 60, 0);
         UPDATE quota_usages SET reserved = reserved + 6 WHERE resource = 'volumes';
         UPDATE reservations SET expire = 1 WHERE flow IS NOT NULL",
    );
    program.run(&["quota", "check"]).exits(0);
    let expired = program.json(&["quota", "expire", "--json"]);
    assert_eq!(expired, json!({"rolled_back": 1, "kept": 2}));
    let shown = program.json(&["quota", "show", "--json"]);
    assert_eq!(shown["quotas"]["volumes"]["reserved"], 5);
    program.run(&["quota", "check"]).exits(0);
    let again = program.run(&["quota", "expire"]).exits(0).stdout;
    assert_eq!(
        again,
        "0 reservations rolled back, 2 left to flows that have not ended\n"
    );
}

#[test]
fn what_looks_after_quotas_makes_no_database() {
    let program = program();
    for command in ["check", "sync", "expire"] {
        program
            .run(&["quota", command])
            .exits(2)
            .says(&["there is no database at cairn.db"]);
    }
    assert!(!program.has_database());
}
