//! Hosts: the list, what ends and drains them, and that all have the same settings.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use acceptance::program::{Program, end};
use acceptance::slow::{eventually, run_slow, slow_after, slower_after};
use acceptance::stream::Stream;
use cairn_test_postgres::Database;
use serde_json::{Value, json};

use super::{create, program};

/// A database on a server, whose hosts have these settings and share a folder of locks.
struct Place {
    database: Database<'static>,
    locks: tempfile::TempDir,
}

impl Place {
    fn new() -> Option<Self> {
        Some(Self {
            database: cairn_test_postgres::shared()?.database(),
            locks: tempfile::tempdir().unwrap(),
        })
    }

    /// A folder of its own for a program on this database.
    fn program(&self, settings: &str) -> Program {
        self.program_with(self.locks.path(), settings)
    }

    fn program_with(&self, locks: &Path, settings: &str) -> Program {
        let program = program();
        let locks = locks.display();
        let more = format!("lease = \"5s\"\n{settings}\n[hosts]\nlocks = \"{locks}\"\n");
        program.write("cairn.toml", self.database.settings(&more));
        program
    }
}

fn hosts(program: &Program) -> Vec<Value> {
    let listed = program.json(&["host", "list", "--json"]);
    listed.as_array().unwrap().clone()
}

fn id(host: &Value) -> &str {
    host["id"].as_str().unwrap()
}

#[test]
fn the_processes_of_a_database_in_a_file_are_hosts() {
    let program = program();
    create(&program, r#"{"size": 1}"#, &[], 0);
    slower_after(&program, "quota-reserve", 20);
    let mut child = run_slow(&program);
    let listed = hosts(&program);
    let host = listed
        .iter()
        .find(|host| host["pid"] == child.id())
        .expect("it is a host");
    assert_eq!(
        (
            &host["flows"],
            &host["partitions"],
            &host["expired"],
            &host["settings"]
        ),
        (&json!(1), &Value::Null, &json!(false), &Value::Null)
    );
    let table = program.run(&["hosts", "list"]).exits(0).stdout;
    assert!(
        table.contains("PARTITIONS") && table.contains(" all "),
        "{table}"
    );
    let lines = program
        .run(&["host", "list", "-o", "jsonl"])
        .exits(0)
        .stdout;
    assert_eq!(lines.lines().count(), listed.len());
    let id = id(host);
    program
        .run(&["host", "end", id])
        .exits(6)
        .says(&["has not expired", "--dead"]);
    program
        .run(&["host", "drain", id])
        .exits(2)
        .says(&["own no partitions"]);
    child.kill().unwrap();
    child.wait().unwrap();
    program
        .run(&["host", "end", id, "--dead"])
        .exits(0)
        .says(&["is ended"]);
    assert!(hosts(&program).iter().all(|host| host["id"] != id));
    let rows = program.json(&["audit", "list", "--action", "host", "--json"]);
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "{rows}");
    assert_eq!(
        json!([
            rows[0]["action"],
            rows[0]["subject"],
            rows[0]["user_id"],
            rows[0]["after"]
        ]),
        json!(["host.end", id, "demo", {"ended": true, "dead": true}])
    );
    program
        .run(&["host", "end", id])
        .exits(2)
        .says(&["no host's id begins with"]);
    program
        .run(&["host", "end", "0190"])
        .exits(2)
        .says(&["at least 8"]);
    let recovered = program.json(&["recover", "--json"]);
    assert_eq!(recovered.as_array().unwrap().len(), 1, "{recovered}");
}

#[test]
fn a_host_is_listed_with_what_it_owns_and_drained_when_it_has_ended() {
    let Some(place) = Place::new() else { return };
    let (one, other) = (place.program(""), place.program(""));
    other
        .run(&["host", "list"])
        .exits(1)
        .says(&["Cairn has no tables"]);
    let mut stream = Stream::start(&one, &[]);
    stream.succeeds();
    let listed = hosts(&other);
    let [host] = listed.as_slice() else {
        panic!("{listed:?}");
    };
    assert!(host["partitions"].as_i64().unwrap() >= 1, "{host}");
    assert_eq!(
        (&host["draining"], &host["version"]),
        (&json!(false), &json!(env!("CARGO_PKG_VERSION")))
    );
    let left = host["lease"].as_f64().unwrap();
    assert!(left > 0.0 && left <= 5.0, "{host}");
    assert_eq!(host["settings"].as_str().unwrap().len(), 12);
    // An operator's change that waits for this host to see it.
    let since = Instant::now();
    other.run(&["type", "create", "gold"]).exits(0);
    let seen = hosts(&other)[0]["catalogue"].as_i64();
    assert!(seen > host["catalogue"].as_i64(), "{seen:?}");
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "{:?}",
        since.elapsed()
    );
    let draining = other.start(&["host", "drain", &id(host)[..13], "--wait", "30"]);
    eventually("it is told", || {
        let listed = hosts(&other);
        listed.is_empty() || listed[0]["draining"] == true
    });
    stream.end().exits(0);
    end(draining).exits(0).says(&["drained: 1 host"]);
    assert!(hosts(&other).is_empty());
    other.run(&["host", "drain", "--all"]).exits(0);
    let rows = other.json(&["audit", "list", "--json"]);
    let told = |row: &Value| json!([row["action"], row["user_id"], row["after"]["draining"]]);
    let told: Vec<Value> = rows.as_array().unwrap().iter().map(told).collect();
    assert_eq!(
        told,
        [
            json!(["host.drain", "demo", true]),
            json!(["type.create", "demo", null])
        ]
    );
}

#[test]
fn the_host_that_owns_a_flow_records_who_asked_it_for_a_rollback() {
    let Some(place) = Place::new() else { return };
    let (one, other) = (place.program(""), place.program(""));
    slower_after(&one, "quota-reserve", 20);
    let child = run_slow(&one);
    eventually("a flow is there", || {
        let run = other.run(&["flow", "list", "--json"]);
        run.exit == 0 && run.json() != json!([])
    });
    let flow = other.json(&["flow", "list", "--json"])[0]["id"].clone();
    let flow = flow.as_str().unwrap();
    let rollback = ["flow", "rollback", flow, "--user", "ann", "--wait"];
    let refused = ["flow", "reset", flow, "--user", "ann", "--wait"];
    other.run(&refused).exits(2);
    other.run(&rollback).exits(0);
    end(child).exits(5);
    let rows = one.json(&["audit", "list", "--json"]);
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "{rows}");
    let row = &rows[0];
    assert_eq!(
        json!([
            row["action"],
            row["subject"],
            row["user_id"],
            row["project_id"],
            row["before"]
        ]),
        json!(["flow.rollback", flow, "ann", "demo", {"state": "INTERRUPTED"}])
    );
    other.run(&["quota", "set", "volumes=2"]).exits(0);
    other.run(&["flow", "prune", "--older-than", "1d"]).exits(0);
    let rows = one.json(&["audit", "list", "--limit", "2", "--json"]);
    assert_eq!(
        (&rows[0]["action"], &rows[1]["after"]),
        (&json!("flow.prune"), &json!({"volumes": 2}))
    );
}

#[test]
fn an_operators_change_is_made_while_another_host_works_on_the_project() {
    let Some(place) = Place::new() else { return };
    let (one, other) = (place.program(""), place.program(""));
    let mut stream = Stream::start(&one, &[]);
    let volume = stream.succeeds();
    other.run(&["volume", "delete", &volume]).exits(0);
    other.run(&["quota", "set", "volumes=1"]).exits(0);
    // The owner has the project back, and decides by both changes.
    stream.succeeds();
    let refused = stream.ask();
    let kind = &refused["error"]["kind"];
    assert_eq!(kind, "VolumeLimitExceeded", "{refused:#}");
    other.run(&["quota", "set", "volumes=2"]).exits(0);
    stream.succeeds();
    other.run(&["quota", "check"]).exits(0);
    let listed = hosts(&other);
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0]["partitions"], 256);
    stream.end().exits(3);
}

/// Kills a process in the middle of a flow, and returns the folder of another one that can recover it.
fn killed(place: &Place) -> Program {
    let program = place.program("");
    slow_after(&program, "quota-reserve");
    let mut child = run_slow(&program);
    child.kill().unwrap();
    child.wait().unwrap();
    program
}

fn recovered(program: &Program) -> usize {
    program
        .json(&["recover", "--json"])
        .as_array()
        .unwrap()
        .len()
}

#[test]
fn a_process_that_was_killed_is_taken_over_at_once_where_its_lock_is_seen() {
    let Some(place) = Place::new() else { return };
    let _killed = killed(&place);
    let before = place
        .database
        .sql("SELECT expires_at > clock_timestamp() FROM cairn.hosts");
    let taken = recovered(&place.program(""));
    assert_eq!((before.as_str(), taken), ("t", 1));
    let locks = std::fs::read_dir(place.locks.path()).unwrap().count();
    assert!(locks <= 1, "processes that end remove their locks");
}

#[test]
fn a_process_that_was_killed_elsewhere_is_taken_over_when_its_lease_has_expired() {
    let Some(place) = Place::new() else { return };
    let _killed = killed(&place);
    let since = Instant::now();
    let locks = tempfile::tempdir().unwrap();
    let other = place.program_with(locks.path(), "");
    let early = recovered(&other);
    // It renewed its lease less than a third of it before.
    if since.elapsed() < Duration::from_secs(3) {
        assert_eq!(early, 0, "its lease has not expired");
    }
    sleep(Duration::from_secs(6));
    assert_eq!(early + recovered(&other), 1);
}

#[test]
fn hosts_of_one_database_need_the_same_settings() {
    let Some(place) = Place::new() else { return };
    let quota = |volumes: usize| {
        format!("zone = \"nova\"\nuser = \"u{volumes}\"\n[quota]\nvolumes = {volumes}\n")
    };
    let one = place.program(&quota(10));
    // Defaults that are written down are the same settings.
    let same = place.program("");
    let other = place.program(&quota(11));
    let mut stream = Stream::start(&one, &[]);
    stream.succeeds();
    same.run(&["type", "create", "gold"]).exits(0);
    for command in [&["type", "create", "silver"][..], &["recover"]] {
        let run = other.run(command).exits(2);
        run.says(&[
            "these settings differ",
            ": quota.volumes\n",
            "cairn host drain --all",
        ]);
    }
    other.write("policy.json", r#"{"volume:create": "role:admin"}"#);
    let run = other.run(&["--policy", "policy.json", "recover"]).exits(2);
    run.says(&[": policy, quota.volumes\n"]);
    let deliver = "[deliver]\ntransport = \"http\"\nkey_file = \"key\"\nmost = 7\n[deliver.topics]\n\"*\" = \"http://127.0.0.1:1/in\"\n";
    for (settings, named) in [
        ("zone = \"far\"\n", "zone"),
        ("default_volume_type = \"gold\"\n", "default_volume_type"),
        ("[limits]\nmemory = \"32MiB\"\n", "limits.memory"),
        ("[idempotency]\nkeep = \"1d\"\n", "idempotency.keep"),
        (deliver, "deliver.identity, deliver.most"),
    ] {
        let differs = place.program(settings);
        differs.write_secret("key", "secret\n");
        let run = differs.run(&["recover"]).exits(2);
        run.says(&[&format!(": {named}\n")]);
    }
    for read in [
        &["host", "list"][..],
        &["type", "list"],
        &["flow", "list"],
        &["db", "check"],
        &["db", "migrate"],
    ] {
        other.run(read).exits(0);
    }
    stream.end().exits(0);
    other.run(&["type", "create", "silver"]).exits(0);
}

#[test]
fn settings_in_files_are_compared_by_their_content() {
    let Some(place) = Place::new() else { return };
    let settings = |policy: &str| {
        format!(
            "policy = \"{policy}\"\n[records.dns]\nschema = \"{policy}.schema\"\n[allow]\n\"*\" = true\n"
        )
    };
    let write = |program: &Program, name: &str, schema: &str| {
        program.write(name, "{\"context_is_admin\": \"role:admin\"}");
        program.write(&format!("{name}.schema"), schema);
    };
    let (one, other) = (place.program(&settings("a")), place.program(&settings("b")));
    write(&one, "a", "{\"type\": \"object\"}");
    write(&other, "b", "{\"type\":   \"object\"}");
    let mut stream = Stream::start(&one, &[]);
    stream.succeeds();
    // The files have other names and blanks, and say the same.
    let run = other.run(&["recover"]);
    assert_eq!(run.exit, 0, "{}", run.stderr);
    write(&other, "b", "{\"type\": \"string\"}");
    other
        .run(&["recover"])
        .exits(2)
        .says(&[": records.dns.schema\n"]);
    write(&other, "b", "{\"type\": \"object\"}");
    other.write("b", "{}");
    other.run(&["recover"]).exits(2).says(&[": policy\n"]);
    write(&other, "b", "{\"type\": \"object\"}");
    let text = std::fs::read_to_string(other.path("cairn.toml")).unwrap();
    other.write("cairn.toml", text.replace("\"*\" = true", "\"*\" = false"));
    other.run(&["recover"]).exits(2).says(&[": allow.*\n"]);
    stream.end().exits(0);
}

#[test]
fn a_server_is_warned_of_once() {
    let Some(place) = Place::new() else { return };
    let program = place.program("");
    let arguments = super::request(&program, r#"{"size": 1}"#);
    let arguments = arguments.each_ref().map(String::as_str);
    let run = program.run(&arguments).exits(0);
    let warnings = run.stderr.matches("no synchronous standby").count();
    assert_eq!(warnings, 1, "{}", run.stderr);
    assert_eq!(
        run.stderr.matches("unsafe_server").count(),
        1,
        "{}",
        run.stderr
    );
}

#[test]
fn each_table_whose_rows_belong_to_no_project_raises_the_catalogue() {
    let Some(place) = Place::new() else { return };
    place.program("").run(&["zone", "create", "nova"]).exits(0);
    let without = place.database.sql(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'cairn'::regnamespace
             AND relname NOT IN ('schema', 'facts', 'hosts', 'host_details', 'host_locks', 'partitions', 'catalogue', 'flows', 'journal', 'plans',
                                 'components', 'outbox', 'inbox', 'requests', 'idempotency_keys', 'deployments', 'tokens')
             AND NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = pg_class.oid AND attname = 'project_id')
             AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = pg_class.oid AND tgname = 'raise_catalogue')",
    );
    assert_eq!(without, "");
}
