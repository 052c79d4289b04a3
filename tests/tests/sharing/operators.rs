//! What operators ask of projects that another host owns.

use std::thread;
use std::time::Duration;

use acceptance::hosts::{far, is_sound, owns, works};
use acceptance::program::end;
use acceptance::slow::{eventually, slower_after};
use acceptance::stream::Stream;
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
