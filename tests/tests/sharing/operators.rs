//! What operators ask of projects that another host owns.

use std::thread;
use std::time::Duration;

use acceptance::hosts::{far, is_sound, owns, works};
use acceptance::program::end;
use acceptance::slow::{eventually, slower_after};
use acceptance::stream::Stream;
use cairn::store::shared::partition_of;
use serde_json::json;

use super::two;

#[test]
fn a_single_run_goes_on_after_an_operators_change() {
    let Some((database, [one, other])) = two() else {
        return;
    };
    slower_after(&one, "entry-create", 4);
    let single = one.start(&["run", "slow.toml", "-i", "slow.json", "--json"]);
    let pid = single.id().to_string();
    eventually("it works", || works(&database) == pid);
    eventually("the change is made", || {
        other.run(&["quota", "set", "volumes=7"]).exit == 0
    });
    let report = end(single).exits(0).json();
    assert_eq!(report["flow"]["state"], "SUCCESS");
    is_sound(&database, &other);
}

#[test]
fn an_operator_asks_the_owner_of_the_project() {
    let Some((database, [owner, other])) = two() else {
        return;
    };
    slower_after(&owner, "entry-create", 3);
    let mut stream = Stream::of(&owner, "slow.toml", &[]);
    owns(&database, stream.pid(), 256);
    stream.post(&json!({"size": 5}));
    eventually("it runs", || !works(&database).is_empty());
    thread::sleep(Duration::from_millis(200));
    let flow = database.sql("SELECT encode(id, 'hex') FROM cairn.flows");
    let operate = |what: &str| {
        let report = other.json(&["flow", what, &flow, "--wait", "--json"]);
        report["flow"]["state"].clone()
    };
    assert_eq!(operate("interrupt"), "INTERRUPTED");
    assert_eq!(stream.report()["flow"]["state"], "INTERRUPTED");
    // At rest it belongs to the owner of its project still.
    assert_eq!(operate("resume"), "SUCCESS");
    assert_eq!(operate("rollback"), "FAILURE");
    stream.post(&json!({"size": 5}));
    assert_eq!(stream.report()["flow"]["state"], "SUCCESS");
    stream.end().exits(5);
    is_sound(&database, &other);
}

#[test]
fn an_operators_change_waits_until_the_owner_of_the_project_hands_it_over() {
    let Some((database, [owner, other])) = two() else {
        return;
    };
    let change = ["quota", "set", "volumes=7"];
    let limits = "SELECT count(*) FROM cairn.quotas WHERE hard_limit = 7";
    far(&database);
    other
        .run(&change)
        .exits(6)
        .says(&["`far` (process 7) owns this project", "cairn host list"]);
    assert_eq!(database.sql(limits), "0");
    let wanted = "SELECT count(*) FROM cairn.partitions WHERE wanted IS NOT NULL";
    assert_eq!(database.sql(wanted), "0");
    database.sql("DELETE FROM cairn.hosts");

    slower_after(&owner, "entry-create", 4);
    let mut stream = Stream::of(&owner, "slow.toml", &[]);
    owns(&database, stream.pid(), 256);
    // In the middle of a flow, which rests for it between two tasks.
    let before = stream.pid().to_string();
    stream.post(&json!({"size": 5}));
    eventually("it works", || works(&database) == before);
    eventually("it is made", || other.run(&change).exit == 0);
    assert_eq!(database.sql(limits), "1");
    assert_eq!(stream.report()["flow"]["state"], "SUCCESS");
    let volume = database.sql("SELECT id FROM cairn.volumes");
    eventually("it is made", || {
        other.run(&["volume", "delete", &volume]).exit == 0
    });
    owns(&database, stream.pid(), 256);
    stream.end().exits(0);
    is_sound(&database, &other);
}

/// How many projects a change of all projects waits for: longer, in all, than it waits for one.
const PROJECTS: usize = 48;

#[test]
fn a_change_of_all_projects_has_each_handed_over_by_itself() {
    let Some((database, [one, two])) = two() else {
        return;
    };
    // Neither delivers: the messages stay as they are.
    let hosts = [Stream::start(&one, &[]), Stream::start(&two, &[])];
    for host in &hosts {
        owns(&database, host.pid(), 128);
    }
    let count = |what: &str| database.sql(&format!("SELECT count(*) FROM cairn.{what}"));
    let spoil = || {
        database.sql(&format!(
            "INSERT INTO cairn.quota_usages (project_id, resource, in_use, reserved, updated_at, until_refresh)
                 SELECT 'p' || n, 'snapshots', 7, 0, 0, NULL FROM generate_series(1, {PROJECTS}) AS n;
             INSERT INTO cairn.reservations (id, project_id, resource, delta, state, expire, created_at)
                 SELECT 'r' || n, 'p' || n, 'volumes', 1, 'open', 1, 0 FROM generate_series(1, {PROJECTS}) AS n;
             INSERT INTO cairn.outbox (id, project_id, topic, method, arguments, state, created_at)
                 SELECT 'm' || n, 'p' || n, 't', 'm', '{{}}', 'failed', 0 FROM generate_series(1, {PROJECTS}) AS n"
        ));
    };
    spoil();
    let changes: [(&[&str], &str); 3] = [
        (&["quota", "sync"], "quota_usages WHERE in_use = 7"),
        (&["quota", "expire"], "reservations WHERE state = 'open'"),
        (&["outbox", "discard", "--failed", "--admin"], "outbox"),
    ];
    for (change, left) in &changes {
        assert_eq!(count(left), PROJECTS.to_string(), "{change:?}");
        two.run(change).exits(0);
        assert_eq!(count(left), "0", "{change:?}");
    }
    for host in hosts {
        host.end().exits(0);
    }
    is_sound(&database, &two);

    // A project that is not handed over does not keep the others from being changed.
    database.sql("DELETE FROM cairn.quota_usages; DELETE FROM cairn.reservations");
    spoil();
    far(&database);
    let part = partition_of("p3");
    database.sql(&format!(
        "UPDATE cairn.partitions SET host = NULL WHERE id <> {part}"
    ));
    let kept = (1..=PROJECTS).filter(|n| partition_of(&format!("p{n}")) == part);
    let kept = kept.count();
    for (change, left) in &changes {
        let says = ["left: ", "`far` (process 7) owns this project"];
        two.run(change).exits(6).says(&says);
        assert_eq!(count(left), kept.to_string(), "{change:?}");
    }
}
