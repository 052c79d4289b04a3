//! `cairn status`: whether anything needs a person.

use std::time::{SystemTime, UNIX_EPOCH};

use acceptance::program::{Program, repository};
use serde_json::{Value, json};

use super::clocks::at;
use super::{create, program, sql};

const DAY: i64 = 24 * 3600;

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.expect("the clock is right").as_secs()).expect("a time")
}

/// Returns a database with one flow, which has succeeded, and whose quotas were compared.
fn used() -> Program {
    let program = program();
    create(&program, r#"{"size": 1}"#, &[], 0);
    program.run(&["status"]).exits(0);
    program
}

/// Returns the findings of a status, which must end with this code.
#[track_caller]
fn findings(program: &Program, exit: i32) -> Vec<Value> {
    let status = program.run(&["status", "--json"]).exits(exit).json();
    status["findings"].as_array().expect("findings").clone()
}

/// Writes the time `seconds` ago in the database's unit.
fn ago(seconds: i64) -> i64 {
    (now() - seconds) * 1_000_000
}

/// Adds a flow that was asked for so many seconds ago, with these further columns.
fn add_flow(program: &Program, seconds: i64, state: &str, columns: &str, values: &str) {
    let (millis, time) = ((now() - seconds) * 1000, ago(seconds));
    sql(
        program,
        &format!(
            "INSERT INTO flows (id, name, project_id, user_id, state, created_at, updated_at{columns})
             VALUES (x'{millis:012x}70008000000000000001', 'old', 'blue', 'ann', '{state}', {time}, {time}{values})"
        ),
    );
}

#[test]
fn nothing_needs_anyone_in_a_fresh_database() {
    let program = program();
    program
        .run(&["status"])
        .exits(2)
        .says(&["there is no database"]);
    program.run(&["zone", "create", "nova"]).exits(0);
    let run = program.run(&["status"]).exits(0);
    assert_eq!(run.stdout, "nothing needs you\n");
    create(&program, r#"{"size": 1}"#, &[], 0);
    create(&program, r#"{"size": 100000}"#, &[], 3);
    create(&program, r#"{"size": 100000}"#, &[], 3);
    let run = program.run(&["status"]).exits(0);
    assert_eq!(
        run.stdout,
        "nothing needs you\nerrors of the last hour: VolumeSizeExceedsAvailableQuota 2\n"
    );
    let status = program.json(&["status", "--json"]);
    assert_eq!(status["findings"], json!([]));
    assert_eq!(
        status["errors"],
        json!([{"kind": "VolumeSizeExceedsAvailableQuota", "flows": 2}])
    );
    assert_eq!(status["checks"][0]["name"], "quota");
    assert_eq!(status["checks"][0]["differences"], 0);
    assert_eq!(status["backup"], json!(null));
    assert_eq!(status["held"], json!(null));
}

/// Asserts that the only finding is of this kind, with these parts of its sentence and its command.
#[track_caller]
fn only(program: &Program, kind: &str, severity: &str, sentence: &str, command: &str) -> Value {
    let findings = findings(program, 6);
    let [finding] = &findings[..] else {
        panic!("{kind}: {findings:#?}");
    };
    assert_eq!(finding["kind"], kind);
    assert_eq!(finding["severity"], severity, "{finding}");
    let text = |key: &str| finding[key].as_str().expect("a text").to_owned();
    assert!(text("sentence").contains(sentence), "{finding}");
    assert!(text("command").contains(command), "{finding}");
    let shown = program.run(&["status"]).exits(6).stdout;
    assert!(
        shown.contains(&text("sentence")) && shown.contains(&text("command")),
        "{shown}"
    );
    finding.clone()
}

#[test]
fn flows_that_need_a_person_are_found() {
    for (change, kind, severity, sentence) in [
        (
            "stuck = 'why'",
            "stuck",
            "error",
            "1 flow cannot be recovered",
        ),
        (
            "incomplete = 1, state = 'FAILURE'",
            "incomplete",
            "error",
            "the rollback of 1 flow is incomplete",
        ),
    ] {
        let program = used();
        sql(&program, &format!("UPDATE flows SET {change}"));
        let finding = only(&program, kind, severity, sentence, "cairn flow show ");
        assert_eq!(finding["count"], 1);
        let flow = &finding["flows"][0];
        assert_eq!(flow["name"], "volume_create_api");
        // The command works as it is printed.
        let command = finding["command"].as_str().expect("a command");
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        program.run(&words).exits(0);
    }
}

#[test]
fn several_flows_are_counted_and_the_first_are_named() {
    let program = program();
    for _ in 0..7 {
        create(&program, r#"{"size": 1}"#, &[], 0);
    }
    sql(&program, "UPDATE flows SET stuck = 'why'");
    let command = "cairn flow list --stuck";
    let finding = only(&program, "stuck", "error", "7 flows cannot be", command);
    assert_eq!(finding["count"], 7);
    assert_eq!(finding["flows"].as_array().map(Vec::len), Some(5));
    let shown = program.run(&["status"]).exits(6).stdout;
    assert!(shown.contains("and 2 more flows"), "{shown}");
}

#[test]
fn a_flow_that_sleeps_with_an_act_without_outcome_is_unknown() {
    let program = used();
    add_flow(
        &program,
        60,
        "REVERTING",
        ", wake_at",
        &format!(", {}", ago(-600)),
    );
    let add_object = |state: &str| {
        sql(
            &program,
            &format!(
                "INSERT OR REPLACE INTO externals SELECT 'dns', 'zone', 'o', project_id, id, 't', '{state}', '{{}}', NULL, 'd', 1, 0, 0, NULL
                 FROM flows WHERE name = 'old'"
            ),
        );
    };
    add_object("made");
    assert_eq!(findings(&program, 0), Vec::<Value>::new());
    for state in ["making", "removing"] {
        add_object(state);
        let sentence = "not known whether an object of 1 flow is there";
        only(&program, "unknown", "error", sentence, "cairn flow show ");
    }
}

#[test]
fn flows_that_take_longer_than_expected_are_found() {
    // A flow that a process owns, and that has no journal which says when it last woke.
    let owned = |seconds| {
        let program = used();
        add_flow(&program, seconds, "RUNNING", ", host", ", zeroblob(16)");
        program
    };
    assert_eq!(findings(&owned(1800), 0), Vec::<Value>::new());
    let sentence = "1 flow has run for more than 1h";
    only(
        &owned(2 * 3600),
        "running",
        "warning",
        sentence,
        "flow show",
    );

    let interrupted = |seconds| {
        let program = used();
        add_flow(&program, seconds, "INTERRUPTED", "", "");
        program
    };
    assert_eq!(findings(&interrupted(1800), 0), Vec::<Value>::new());
    let program = interrupted(2 * 3600);
    let sentence = "1 flow has rested for more than 1h since an interruption";
    only(&program, "interrupted", "warning", sentence, "flow show");
    program.write("cairn.toml", "status.run = '3h'\n");
    assert_eq!(findings(&program, 0), Vec::<Value>::new());
}

/// Writes the example with an approval, whose wait is this one, and runs it until it waits.
fn approval(wait: &str) -> (Program, i64) {
    let program = program();
    for file in ["flow.toml", "cairn.toml"] {
        let text = std::fs::read_to_string(repository(&format!("examples/approval/{file}")));
        let own = r#"{ signal = "approved", timeout = "7d", provides = ["by"] }"#;
        program.write(file, text.expect("the example").replace(own, wait));
    }
    let begun = now();
    let run = [
        "run",
        "flow.toml",
        "--input",
        r#"{"name": "Ada"}"#,
        "--no-wait",
    ];
    at(&program, begun, &run).exits(5);
    (program, begun)
}

#[test]
fn a_flow_that_no_process_woke_is_overdue() {
    let (program, begun) =
        approval(r#"{ signal = "approved", timeout = "7d", provides = ["by"] }"#);
    let status = |second| at(&program, second, &["status", "--json"]);
    status(begun + 6 * DAY).exits(0);
    status(begun + 7 * DAY + 120).exits(0);
    let found = status(begun + 7 * DAY + 360).exits(6).json();
    assert_eq!(found["findings"][0]["kind"], "overdue", "{found:#}");
    let sentence = "1 flow should have been woken more than 5m ago";
    assert_eq!(found["findings"][0]["sentence"], sentence);
}

#[test]
fn a_flow_that_waits_long_for_a_signal_is_found() {
    let (program, begun) = approval(r#"{ signal = "approved", provides = ["by"] }"#);
    let status = |second| at(&program, second, &["status", "--json"]);
    status(begun + 6 * DAY).exits(0);
    let found = status(begun + 8 * DAY).exits(6).json();
    assert_eq!(found["findings"][0]["kind"], "waiting", "{found:#}");
    // A flow that slept until now has not run for long.
    let flow = found["findings"][0]["flows"][0]["id"]
        .as_str()
        .expect("an id");
    sql(
        &program,
        "UPDATE flows SET wake_at = NULL, host = zeroblob(16)",
    );
    let found = status(begun + 8 * DAY).exits(6).json();
    assert_eq!(found["findings"][0]["kind"], "running", "{found:#}");
    sql(
        &program,
        "UPDATE flows SET wake_at = 253370764799999999, host = NULL",
    );
    at(
        &program,
        begun + 8 * DAY,
        &[
            "flow",
            "signal",
            flow,
            "approved",
            "--input",
            r#"{"by": "bob"}"#,
        ],
    )
    .exits(0);
    at(&program, begun + 8 * DAY, &["recover"]).exits(0);
    sql(
        &program,
        "UPDATE flows SET state = 'RUNNING', host = zeroblob(16)",
    );
    status(begun + 8 * DAY + 60).exits(0);
    status(begun + 8 * DAY + 2 * 3600).exits(6);
}

#[test]
fn messages_that_do_not_leave_are_found() {
    let program = used();
    let set = |state: &str, since: i64| {
        let since = ago(since);
        sql(
            &program,
            &format!("UPDATE outbox SET state = '{state}', since = {since}, due_at = {since}"),
        );
    };
    // Without a transport nothing tells whether a process takes them.
    set("ready", 30 * DAY);
    assert_eq!(findings(&program, 0), Vec::<Value>::new());
    set("sending", 600);
    assert_eq!(findings(&program, 0), Vec::<Value>::new());
    set("sending", 1800);
    let sentence = "the oldest of 1 message has been undelivered for 30m";
    let list = "cairn outbox list --state sending";
    only(&program, "undelivered", "warning", sentence, list);
    set("failed", 60);
    let sentence = "1 message could not be delivered, the oldest since 1m";
    let list = "cairn outbox list --state failed --admin";
    only(&program, "failed", "error", sentence, list);
    let words: Vec<&str> = list.split(' ').skip(1).collect();
    program.run(&words).exits(0);
}

#[test]
fn quotas_are_compared_at_most_every_ten_minutes() {
    let program = used();
    let mend = "UPDATE quota_usages SET in_use = 1 WHERE resource = 'volumes'";
    let break_it = "UPDATE quota_usages SET in_use = 9 WHERE resource = 'volumes'";
    let begun = now();
    let status = |second| at(&program, second, &["status", "--json"]);
    sql(&program, break_it);
    // The last comparison is that of a moment ago.
    status(begun + 60).exits(0);
    let found = status(begun + 660).exits(6).json();
    assert_eq!(found["findings"][0]["kind"], "quota", "{found:#}");
    let sentence = "1 usage differs from what is booked and reserved";
    assert_eq!(found["findings"][0]["sentence"], sentence);
    assert_eq!(found["findings"][0]["command"], "cairn quota check --admin");
    sql(&program, mend);
    status(begun + 720).exits(6);
    at(&program, begun + 720, &["quota", "check", "--admin"]).exits(0);
    status(begun + 780).exits(0);
    // A repair is seen at once.
    sql(&program, break_it);
    at(&program, begun + 790, &["quota", "check", "--admin"]).exits(6);
    status(begun + 800).exits(6);
    at(&program, begun + 810, &["quota", "sync"]).exits(0);
    status(begun + 820).exits(0);
    // A result from the future is not trusted.
    sql(&program, break_it);
    status(begun - DAY).exits(6);
}

#[test]
fn the_check_of_one_project_is_not_that_of_all() {
    let program = used();
    sql(
        &program,
        "DELETE FROM facts WHERE name = 'quota-check';
         INSERT INTO quota_usages (project_id, resource, in_use, reserved) VALUES ('blue', 'volumes', 1, 0)",
    );
    program.run(&["quota", "check"]).exits(0);
    assert_eq!(findings(&program, 6)[0]["kind"], "quota");
}

#[test]
fn a_host_that_owns_flows_after_its_lease_is_found() {
    let program = used();
    let id = "0190000000007000800000000000000a";
    let set = |expires: i64| {
        sql(
            &program,
            &format!(
                "INSERT OR REPLACE INTO hosts (id, pid, started_at, expires_at) VALUES (x'{id}', 1, 0, {expires})"
            ),
        );
    };
    set(ago(120));
    assert_eq!(
        findings(&program, 0),
        Vec::<Value>::new(),
        "it owns nothing"
    );
    add_flow(&program, 300, "RUNNING", ", host", &format!(", x'{id}'"));
    let sentence = "expired 2m";
    only(&program, "late_host", "warning", sentence, "cairn recover");
    set(ago(-120));
    assert_eq!(findings(&program, 0), Vec::<Value>::new());
    // One whose lease was ended may still be in an act.
    sql(
        &program,
        &format!(
            "DELETE FROM hosts;
             UPDATE flows SET host = NULL, wake_at = {};
             INSERT INTO externals SELECT 'dns', 'zone', 'o', project_id, id, 't', 'made', '{{}}', NULL, 'd', 1, 0, 0, x'{id}' FROM flows WHERE name = 'old'",
            ago(-600)
        ),
    );
    let help = "cairn host end 01900000-0000-7000-8000-00000000000a --dead";
    only(
        &program,
        "late_host",
        "warning",
        "was ended, and it may be in 1 act",
        help,
    );
}

#[test]
fn the_age_of_the_last_backup_is_judged_once_there_is_one_or_the_operator_asks() {
    let program = used();
    let begun = now();
    let status = |second, settings: &str| {
        program.write("cairn.toml", settings);
        at(&program, second, &["status", "--json"])
    };
    status(begun + 30 * DAY, "").exits(0);
    // The flow began within the second of `begun`.
    let missing = status(begun + 3 * DAY + 60, "status.backup = '2d'")
        .exits(6)
        .json();
    let sentence = missing["findings"][0]["sentence"].as_str();
    let sentence = sentence.unwrap_or_default();
    let expected = "no backup was made, and the first flow is 3days";
    assert!(sentence.starts_with(expected), "{missing:#}");
    status(begun + DAY, "status.backup = '2d'").exits(0);

    at(&program, begun, &["db", "backup", "b.db"]).exits(0);
    let known = status(begun + 60, "").exits(0).json();
    assert!(known["backup"].is_string(), "{known:#}");
    status(begun + 3 * DAY, "").exits(0);
    status(begun + 3 * DAY, "status.backup = '2d'").exits(6);
    let old = status(begun + 8 * DAY + 60, "").exits(6).json();
    assert_eq!(old["findings"][0]["kind"], "backup", "{old:#}");
    let sentence = old["findings"][0]["sentence"].as_str().expect("a sentence");
    assert!(
        sentence.starts_with("the last backup was made 8days "),
        "{sentence}"
    );
    at(&program, begun + 8 * DAY, &["db", "backup", "c.db"]).exits(0);
    status(begun + 8 * DAY, "").exits(0);
}

#[test]
fn a_held_database_says_so_first() {
    let program = used();
    sql(
        &program,
        "INSERT INTO facts VALUES ('held', '2026-03-01T12:00:00.000000Z');
         UPDATE facts SET value = '{}' WHERE name = 'quota-check';
         UPDATE flows SET stuck = 'why'",
    );
    let findings = findings(&program, 6);
    let kinds: Vec<&Value> = findings.iter().map(|finding| &finding["kind"]).collect();
    assert_eq!(kinds, ["held", "stuck"]);
    assert_eq!(findings[0]["command"], "cairn db release");
    // A backup of it is noted, too.
    program.run(&["db", "backup", "b.db"]).exits(0);
    let status = program.run(&["status", "--json"]).exits(6).json();
    assert!(status["backup"].is_string(), "{status:#}");
}

#[test]
fn a_database_on_a_server_is_judged_alike() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let (program, database) = (program(), server.database());
    program.write("cairn.toml", database.settings(""));
    create(&program, r#"{"size": 1}"#, &[], 0);
    create(&program, r#"{"size": 100000}"#, &[], 3);
    let status = program.json(&["status", "--json"]);
    assert_eq!(status["findings"], json!([]));
    assert_eq!(
        status["errors"],
        json!([{"kind": "VolumeSizeExceedsAvailableQuota", "flows": 1}])
    );
    assert_eq!(status["checks"][0]["differences"], 0);
    program.run(&["db", "backup", "b.db"]).exits(0);
    let sql = |statement: &str| {
        server.sql(
            database.name(),
            &format!("SET search_path = cairn; {statement}"),
        );
    };
    let (old, id) = (ago(8 * DAY), "0190000000007000800000000000000a");
    sql(&format!(
        "UPDATE quota_usages SET in_use = 9 WHERE resource = 'volumes';
         UPDATE facts SET value = '{{}}' WHERE name = 'quota-check';
         INSERT INTO hosts (id, pid, started_at, expires_at) VALUES ('\\x{id}', 1, 0, now() - interval '3 minutes');
         UPDATE outbox SET state = 'sending', since = {old}, due_at = {old} WHERE state = 'ready';
         UPDATE flows SET stuck = 'why' WHERE state = 'FAILURE';
         UPDATE flows SET host = '\\x{id}', created_at = {old}, state = 'RUNNING' WHERE state = 'SUCCESS';
         DELETE FROM journal WHERE flow IN (SELECT id FROM flows WHERE state = 'RUNNING')"
    ));
    let status = program.run(&["status", "--json"]).exits(6).json();
    let findings = status["findings"].as_array().expect("findings").iter();
    let kinds: Vec<&str> = findings
        .filter_map(|finding| finding["kind"].as_str())
        .collect();
    let expected = ["stuck", "quota", "running", "undelivered", "late_host"];
    assert_eq!(kinds, expected, "{status:#}");
    assert!(status["backup"].is_string(), "{status:#}");
    let late = status["late_hosts"][0]["late"].as_i64().expect("a time");
    assert!((179_000..600_000).contains(&late), "{late}");
}
