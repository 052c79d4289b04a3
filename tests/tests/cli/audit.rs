//! Operators' changes: each leaves one row with who, from where, when, why, before and after.

use acceptance::program::{Program, end};
use acceptance::slow::{run_slow, slow_after};
use serde_json::{Value, json};

use super::operate::{incomplete, only_flow, operate};
use super::{create, program, sql};

/// Returns the rows of the audit that these options select, newest first.
fn audit(program: &Program, options: &[&str]) -> Vec<Value> {
    let arguments = [&["audit", "list", "--json"], options].concat();
    let listed = program.json(&arguments);
    listed.as_array().expect("a list").clone()
}

/// Runs a command, which must succeed and leave one row; returns the row.
#[track_caller]
fn row_of(program: &Program, arguments: &[&str]) -> Value {
    let before = match program.has_database() {
        true => audit(program, &[]).len(),
        false => 0,
    };
    program.run(arguments).exits(0);
    let rows = audit(program, &[]);
    assert_eq!(rows.len(), before + 1, "{arguments:?}: {rows:?}");
    rows[0].clone()
}

/// Returns the columns of a row that say what was changed.
fn change(row: &Value) -> Value {
    json!([
        row["action"],
        row["subject"],
        row["project_id"],
        row["before"],
        row["after"]
    ])
}

#[test]
fn every_change_on_the_command_line_is_recorded_with_who_and_where() {
    let program = program();
    let row = row_of(&program, &["quota", "set", "volumes=1", "--user", "ann"]);
    assert_eq!(
        change(&row),
        json!(["quota.set", "demo", "demo", null, {"volumes": 1}])
    );
    assert_eq!(row["user_id"], "ann");
    assert_eq!(row["reason"], Value::Null);
    let source = row["source"].as_str().unwrap();
    let id = |option| {
        let output = std::process::Command::new("id").arg(option).output();
        let name = String::from_utf8(output.expect("coreutils has it").stdout);
        name.expect("a name").trim().to_owned()
    };
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("Linux has it");
    let expected = format!("command line, {}@{}", id("-un"), machine.trim());
    assert_eq!(source, expected);
    let at = row["at"].as_str().unwrap();
    assert!(at.starts_with("20") && at.ends_with('Z'), "{at}");

    let row = row_of(&program, &["quota", "set", "volumes=9"]);
    assert_eq!(
        change(&row),
        json!(["quota.set", "demo", "demo", {"volumes": 1}, {"volumes": 9}])
    );
    assert_eq!(row["user_id"], "demo");
    let row = row_of(
        &program,
        &["quota", "set", "gigabytes=5", "--class", "gold"],
    );
    assert_eq!(
        change(&row),
        json!(["quota.set", "class gold", null, null, {"gigabytes": 5}])
    );

    let unset = ["quota", "unset", "gigabytes", "--class", "gold"];
    let row = row_of(&program, &unset);
    assert_eq!(
        change(&row),
        json!(["quota.unset", "class gold", null, {"gigabytes": 5}, null])
    );

    let row = row_of(&program, &["zone", "create", "north"]);
    assert_eq!(
        change(&row),
        json!(["zone.create", "north", null, null, {"name": "north"}])
    );
    let row = row_of(&program, &["zone", "delete", "north"]);
    assert_eq!(
        change(&row),
        json!(["zone.delete", "north", null, {"name": "north"}, null])
    );

    let row = row_of(
        &program,
        &["volume", "import", "--size", "2", "--name", "v"],
    );
    assert_eq!(
        (&row["action"], &row["after"]["size"], &row["project_id"]),
        (&json!("volume.import"), &json!(2), &json!("demo"))
    );
    let volume = row["subject"].as_str().unwrap().to_owned();
    let row = row_of(&program, &["volume", "set", "v", "--status", "error"]);
    assert_eq!(
        change(&row),
        json!(["volume.set", volume, "demo", {"status": "available"}, {"status": "error"}])
    );
    let row = row_of(
        &program,
        &["snapshot", "create", "--volume", "v", "--name", "s"],
    );
    assert_eq!(
        (&row["action"], &row["after"]["volume_id"]),
        (&json!("snapshot.create"), &json!(volume))
    );
    let row = row_of(&program, &["snapshot", "delete", "s"]);
    assert_eq!(
        (
            &row["action"],
            &row["before"]["display_name"],
            &row["after"]
        ),
        (&json!("snapshot.delete"), &json!("s"), &Value::Null)
    );
    let row = row_of(&program, &["volume", "delete", "v"]);
    assert_eq!(
        (&row["action"], &row["before"]["status"], &row["subject"]),
        (&json!("volume.delete"), &json!("error"), &json!(volume))
    );

    let row = row_of(&program, &["type", "create", "fast"]);
    assert_eq!(
        (&row["action"], &row["after"]["name"]),
        (&json!("type.create"), &json!("fast"))
    );
    let row = row_of(&program, &["type", "delete", "fast"]);
    assert_eq!(
        (&row["action"], &row["before"]["name"]),
        (&json!("type.delete"), &json!("fast"))
    );
    program.write("disk.img", "1234");
    let row = row_of(&program, &["image", "create", "disk.img", "--private"]);
    assert_eq!(
        (&row["action"], &row["after"]["size"], &row["project_id"]),
        (&json!("image.create"), &json!(4), &json!("demo"))
    );
    let row = row_of(&program, &["image", "delete", "disk.img"]);
    assert_eq!(
        (&row["action"], &row["before"]["size"]),
        (&json!("image.delete"), &json!(4))
    );

    let row = row_of(&program, &["flow", "prune", "--older-than", "30d"]);
    assert_eq!(
        change(&row),
        json!(["flow.prune", "flows", null, null, {"older_than_seconds": 2_592_000}])
    );
}

#[test]
fn repairs_of_quotas_are_recorded_with_the_usages_before_and_after() {
    let program = program();
    create(&program, r#"{"size": 3}"#, &[], 0);
    assert_eq!(
        audit(&program, &[]),
        [] as [Value; 0],
        "flows are no operators"
    );
    program.run(&["quota", "sync"]).exits(0);
    assert_eq!(
        audit(&program, &[]),
        [] as [Value; 0],
        "nothing was changed"
    );
    sql(
        &program,
        "UPDATE quota_usages SET in_use = 7 WHERE resource = 'gigabytes'",
    );
    let row = row_of(&program, &["quota", "sync"]);
    assert_eq!(
        change(&row),
        json!(["quota.sync", "demo", "demo",
               {"gigabytes": {"in_use": 7, "reserved": 0}},
               {"gigabytes": {"in_use": 3, "reserved": 0}}])
    );
    sql(
        &program,
        "INSERT INTO reservations (id, project_id, resource, delta, state, expire, created_at)
         VALUES ('r', 'demo', 'volumes', 2, 'open', 1, 1);
         UPDATE quota_usages SET reserved = 2 WHERE resource = 'volumes'",
    );
    let row = row_of(&program, &["quota", "expire"]);
    assert_eq!(
        change(&row),
        json!(["quota.expire", "demo", "demo", null, {"rolled_back": 1, "kept": 0}])
    );
}

#[test]
fn messages_are_changed_with_a_row_each() {
    let program = program();
    create(&program, r#"{"size": 1}"#, &[], 0);
    create(&program, r#"{"size": 1}"#, &[], 0);
    let ready = program.json(&["outbox", "list", "--json"]);
    let id = |at: usize| ready[at]["id"].as_str().unwrap();
    program.run(&["outbox", "ack", id(0), "nobody"]).exits(2);
    program.run(&["outbox", "discard", id(0)]).exits(6);
    assert_eq!(audit(&program, &[]), [] as [Value; 0], "both were refused");
    let message = json!({"state": "ready", "topic": "cinder-scheduler", "method": "create_volume"});
    let row = row_of(&program, &["outbox", "ack", id(0)]);
    assert_eq!(
        change(&row),
        json!(["outbox.ack", id(0), "demo", message, {"state": "acked"}])
    );
    let row = row_of(&program, &["outbox", "discard", id(1), "--admin"]);
    assert_eq!(
        change(&row),
        json!(["outbox.discard", id(1), "demo", message, null])
    );
}

#[test]
fn records_are_changed_with_their_values_and_reasons() {
    let program = program();
    program.write("cairn.toml", "[records.notes]\n");
    let row = row_of(&program, &["record", "put", "notes", "a", r#"{"n": 1}"#]);
    let first = &row["after"]["version"];
    assert_eq!(
        change(&row),
        json!(["record.put", "notes/a", "demo", null, {"value": {"n": 1}, "version": first}])
    );
    program
        .run(&["record", "put", "notes", "a", "2", "--expect", "absent"])
        .exits(6);
    program.run(&["record", "remove", "notes", "b"]).exits(2);
    assert_eq!(audit(&program, &[]).len(), 1, "both were refused");
    let row = row_of(&program, &["record", "remove", "notes", "a"]);
    assert_eq!(
        change(&row),
        json!(["record.remove", "notes/a", "demo", {"value": {"n": 1}, "version": first}, null])
    );
    let long = format!("\"{}\"", "x".repeat(5000));
    let row = row_of(&program, &["record", "put", "notes", "long", &long]);
    assert!(row["after"]["bytes"].as_u64().unwrap() > 5000, "{row}");
    assert_eq!(row["after"]["sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn changes_are_found_by_subject_kind_user_and_time_and_are_pruned_in_time() {
    let program = program();
    program.write("cairn.toml", "[audit]\nkeep = \"10d\"\n");
    for (zone, user) in [("a", "ann"), ("b", "bob"), ("c", "ann")] {
        program
            .run(&["zone", "create", zone, "--user", user])
            .exits(0);
    }
    program.run(&["quota", "set", "volumes=1"]).exits(0);
    let subjects = |options: &[&str]| -> Vec<String> {
        let rows = audit(&program, options);
        let subjects = rows.iter().map(|row| row["subject"].as_str().unwrap());
        subjects.map(str::to_owned).collect()
    };
    assert_eq!(subjects(&[]), ["demo", "c", "b", "a"]);
    assert_eq!(subjects(&["--user", "ann"]), ["c", "a"]);
    assert_eq!(subjects(&["--subject", "b"]), ["b"]);
    assert_eq!(subjects(&["--action", "zone"]), ["c", "b", "a"]);
    assert_eq!(subjects(&["--action", "quota.set"]), ["demo"]);
    assert_eq!(subjects(&["--action", "zon"]), [] as [&str; 0]);
    assert_eq!(subjects(&["--limit", "1"]), ["demo"]);
    let newest = audit(&program, &["--limit", "2"])[1]["id"].clone();
    let newest = newest.as_str().unwrap();
    assert_eq!(subjects(&["--cursor", newest]), ["b", "a"]);

    let back = |days: u32, zone: &str| {
        sql(
            &program,
            &format!("UPDATE audit SET at = at - {days} * 86400000000 WHERE subject = '{zone}'"),
        );
        // An id begins with the milliseconds of its time.
        let time = "printf('%012x', at / 1000)";
        sql(
            &program,
            &format!(
                "UPDATE audit SET id = substr({time}, 1, 8) || '-' || substr({time}, 9, 4) || substr(id, 14) WHERE subject = '{zone}'"
            ),
        );
    };
    back(9, "a");
    back(11, "b");
    assert_eq!(subjects(&["--since", "1d"]), ["demo", "c"]);
    assert_eq!(subjects(&["--since", "10d"]), ["demo", "c", "a"]);
    let prune = |more: &[&str]| {
        let arguments = [&["flow", "prune", "--older-than", "1d", "--json"], more].concat();
        program.json(&arguments)["audit"].clone()
    };
    assert_eq!(prune(&["--dry-run"]), 1);
    let told = program.run(&["flow", "prune", "--older-than", "1d", "--dry-run"]);
    let told = told.exits(0).stdout;
    assert!(told.contains("1 audit row would be removed"), "{told}");
    program.run(&["zone", "create", "d"]).exits(0);
    assert_eq!(
        subjects(&[]),
        ["d", "demo", "c", "a"],
        "a new change removes what was kept long enough"
    );
    back(11, "a");
    back(11, "c");
    // Recording the pruning removes them; nothing is left for it.
    assert_eq!(prune(&[]), 0);
    assert_eq!(subjects(&[]), ["flows", "d", "demo"]);
}

#[test]
fn a_hostile_text_is_escaped() {
    let program = program();
    program.run(&["zone", "create", "north"]).exits(0);
    let hostile = "char(27) || '[2J'";
    sql(
        &program,
        &format!(
            "UPDATE audit SET user_id = {hostile}, source = {hostile}, subject = {hostile}, reason = {hostile}"
        ),
    );
    for arguments in [&["audit", "list"][..], &["audit", "list", "--json"]] {
        let shown = program.run(arguments).exits(0).stdout;
        assert!(!shown.contains('\u{1b}'), "{shown}");
        assert_eq!(shown.matches("[2J").count(), 4, "{shown}");
    }
}

#[test]
fn operations_on_flows_are_recorded_by_the_process_that_carries_them_out() {
    let program = program();
    let report = create(&program, r#"{"size": 1}"#, &[], 0);
    let flow = report["flow"]["id"].as_str().unwrap().to_owned();
    let refused = [
        &["flow", "interrupt", &flow][..],
        &["flow", "resume", &flow],
        &["flow", "reset", &flow],
        &["flow", "rollback", &flow, "--accept", "why not"],
    ];
    for arguments in refused {
        program.run(arguments).exits(2);
    }
    assert_eq!(audit(&program, &[]), [] as [Value; 0], "they were refused");
    let rollback = [
        "flow",
        "rollback",
        &flow,
        "--reason",
        "a mistake",
        "--user",
        "ann",
    ];
    program.run(&rollback).exits(0);
    let rows = audit(&program, &["--subject", &flow]);
    assert_eq!(rows.len(), 1, "{rows:?}");
    let row = &rows[0];
    assert_eq!(
        json!([
            row["action"],
            row["user_id"],
            row["reason"],
            row["project_id"],
            row["before"]
        ]),
        json!(["flow.rollback", "ann", "a mistake", "demo", {"state": "SUCCESS"}])
    );
    assert_ne!(row["after"]["state"], "SUCCESS", "{row}");
    let source = row["source"].as_str().unwrap();
    assert!(source.starts_with("command line, "), "{source}");

    // The journal says it, too, before the rollback.
    let events = program.json(&["flow", "events", &flow, "--json"]);
    let events = events.as_array().unwrap();
    let at = events
        .iter()
        .position(|entry| entry["event"].get("operated").is_some());
    let at = at.expect("the event is there");
    assert_eq!(
        events[at]["event"]["operated"],
        json!({"operation": "rollback", "user_id": "ann", "source": source, "reason": "a mistake"})
    );
    assert_eq!(events[at]["at"], row["at"]);
    assert!(
        events[at + 1]["event"].get("failed").is_some(),
        "{events:?}"
    );

    // It is rolled back: the same again changes nothing.
    program.run(&rollback).exits(0);
    assert_eq!(audit(&program, &["--subject", &flow]).len(), 1);
}

/// Returns what was done to a flow and by whom, oldest first.
fn operations(program: &Program, flow: &str) -> Vec<Value> {
    let rows = audit(program, &["--subject", flow]);
    let told = rows.iter().rev().map(|row| {
        assert!(
            row["source"]
                .as_str()
                .unwrap()
                .starts_with("command line, ")
        );
        json!([row["action"], row["user_id"], row["before"]["state"]])
    });
    told.collect()
}

#[test]
fn the_owner_of_a_flow_records_who_asked_it() {
    let program = program();
    slow_after(&program, "quota-reserve");
    let child = run_slow(&program);
    let flow = only_flow(&program);
    let interrupt = ["interrupt", &flow, "--user", "ann", "--wait"];
    operate(&program, &interrupt, 0);
    end(child).exits(5);
    let rows = audit(&program, &["--subject", &flow]);
    assert_eq!(rows[0]["after"], json!({"state": "INTERRUPTED"}));
    operate(&program, &["interrupt", &flow], 0);
    let interrupted = json!(["flow.interrupt", "ann", "RUNNING"]);
    assert_eq!(
        operations(&program, &flow),
        std::slice::from_ref(&interrupted),
        "the second one changes nothing"
    );
    operate(&program, &["resume", &flow, "--user", "bob"], 0);
    operate(&program, &["rollback", &flow, "--user", "eve"], 0);
    assert_eq!(
        operations(&program, &flow),
        [
            interrupted,
            json!(["flow.resume", "bob", "INTERRUPTED"]),
            json!(["flow.rollback", "eve", "SUCCESS"])
        ]
    );
}

#[test]
fn a_rollback_of_a_flow_that_another_process_runs_is_recorded_once() {
    let program = program();
    slow_after(&program, "quota-reserve");
    let child = run_slow(&program);
    let flow = only_flow(&program);
    let rollback = [
        "rollback", &flow, "--user", "ann", "--reason", "enough", "--wait",
    ];
    operate(&program, &rollback, 0);
    end(child).exits(5);
    assert_eq!(
        operations(&program, &flow),
        [json!(["flow.rollback", "ann", "INTERRUPTED"])]
    );
    assert_eq!(audit(&program, &[])[0]["reason"], "enough");
    operate(&program, &["reset", &flow, "--user", "bob"], 0);
    let rows = audit(&program, &["--subject", &flow]);
    assert_eq!(
        json!([
            rows[0]["action"],
            rows[0]["user_id"],
            rows[0]["before"],
            rows[0]["after"]
        ]),
        json!(["flow.reset", "bob", {"state": "FAILURE"}, {"state": "PENDING"}])
    );
}

#[test]
fn what_an_operator_accepts_is_recorded_with_the_reason() {
    let (program, flow) = incomplete();
    let accept = ["rollback", &flow, "--accept", "it stays", "--user", "ann"];
    operate(&program, &accept, 0);
    let rows = audit(&program, &["--subject", &flow]);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(
        json!([
            rows[0]["action"],
            rows[0]["user_id"],
            rows[0]["reason"],
            rows[0]["before"],
            rows[0]["after"]
        ]),
        json!(["flow.accept", "ann", "it stays", {"state": "FAILURE", "incomplete": true}, {"state": "FAILURE"}])
    );
}
