//! Streams share projects, and requests for projects of another host run there.

use acceptance::hosts::{Which, drain, far, inbox, is_sound, owns, works};
use acceptance::program::{end, volume_create};
use acceptance::slow::{eventually, send, slow_after, slower_after};
use acceptance::stream::Stream;
use serde_json::json;

use super::two;

#[test]
fn a_request_for_a_project_that_another_host_owns_runs_there() {
    let Some((database, [owner, other])) = two() else {
        return;
    };
    let stream = Stream::start(&owner, &[]);
    owns(&database, stream.pid(), 256);
    let report = other
        .run(&["run", &volume_create(), "-i", r#"{"size": 1}"#, "--json"])
        .exits(0)
        .json();
    assert_eq!(report["flow"]["state"], "SUCCESS");

    // The owner has never seen the plan of this one.
    slow_after(&other, "entry-create");
    let slow = other.start(&["run", "slow.toml", "-i", "slow.json", "--json"]);
    let pid = stream.pid().to_string();
    eventually("the owner works on it", || works(&database) == pid);
    let report = end(slow).exits(0).json();
    assert_eq!(report["flow"]["state"], "SUCCESS");
    let reports = stream.end().exits(0).stdout;
    assert_eq!(reports, "");
    is_sound(&database, &other);
}

#[test]
fn a_key_stands_for_one_request_at_whichever_host_it_is_made() {
    let Some((database, [owner, other])) = two() else {
        return;
    };
    let mut stream = Stream::start(&owner, &[]);
    owns(&database, stream.pid(), 256);
    stream.post(&json!({"request": {"size": 1}, "key": "k"}));
    let first = stream.report()["flow"]["id"].clone();
    let create = volume_create();
    let again = |size: &str| {
        let request = format!(r#"{{"size": {size}}}"#);
        other.run(&["run", &create, "-i", &request, "--key", "k", "--json"])
    };
    assert_eq!(again("1").exits(0).json()["flow"]["id"], first);
    again("2")
        .exits(2)
        .says(&["key `k` was used for another request"]);
    stream.end().exits(0);
    is_sound(&database, &other);
}

#[test]
fn two_streams_share_the_projects_and_give_them_back() {
    let Some((database, [first, second])) = two() else {
        return;
    };
    let mut one = Stream::start(&first, &[]);
    owns(&database, one.pid(), 256);
    let mut two = Stream::start(&second, &[]);
    owns(&database, one.pid(), 128);
    owns(&database, two.pid(), 128);
    for stream in [&mut one, &mut two] {
        stream.post(&json!({"size": 1}));
        assert_eq!(stream.report()["flow"]["state"], "SUCCESS");
    }
    one.end().exits(0);
    owns(&database, two.pid(), 256);
    two.post(&json!({"size": 1}));
    assert_eq!(two.report()["flow"]["state"], "SUCCESS");
    two.end().exits(0);
    is_sound(&database, &second);
}

#[test]
fn a_flow_of_a_host_that_is_drained_goes_on_at_another_one() {
    let Some((database, [first, second])) = two() else {
        return;
    };
    slower_after(&first, "entry-create", 8);
    slow_after(&second, "entry-create");
    let mut one = Stream::of(&first, "slow.toml", &[]);
    owns(&database, one.pid(), 256);
    one.post(&json!({"size": 5}));
    let (old, mut two) = (one.pid(), Stream::of(&second, "slow.toml", &[]));
    eventually("the first host works on it", || {
        works(&database) == old.to_string()
    });
    drain(&database, Which::Process(old));
    owns(&database, two.pid(), 256);
    let new = two.pid().to_string();
    eventually("the second host goes on with it", || {
        works(&database) == new
    });
    // Although its plan rolls back flows whose host is lost.
    assert_eq!(one.report()["flow"]["state"], "SUCCESS");
    // What is asked of the drained host runs at the other one.
    one.post(&json!({"size": 5}));
    eventually("the second host works on it", || works(&database) == new);
    assert_eq!(one.report()["flow"]["state"], "SUCCESS");
    two.post(&json!({"size": 5}));
    assert_eq!(two.report()["flow"]["state"], "SUCCESS");
    for stream in [one, two] {
        stream.end().exits(0);
    }
    is_sound(&database, &second);
}

#[test]
fn a_flow_of_the_last_host_that_is_drained_ends_there() {
    let Some((database, [only, operator])) = two() else {
        return;
    };
    // Longer than flows may go on at a host that others relieve.
    slower_after(&only, "entry-create", 5);
    let mut stream = Stream::of(&only, "slow.toml", &[]);
    owns(&database, stream.pid(), 256);
    stream.post(&json!({"size": 5}));
    eventually("it works", || !works(&database).is_empty());
    let drain = operator.start(&["host", "drain", "--all"]);
    assert_eq!(stream.report()["flow"]["state"], "SUCCESS");
    end(drain).exits(0);
    stream.end().exits(0);
    is_sound(&database, &operator);
}

#[test]
fn a_signal_withdraws_the_request_of_a_single_run_unless_its_flow_has_begun() {
    let Some((database, [owner, other])) = two() else {
        return;
    };
    slower_after(&other, "entry-create", 2);
    let single = || other.start(&["run", "slow.toml", "-i", "slow.json", "--json"]);
    far(&database);
    let run = single();
    eventually("its request is forwarded", || inbox(&database) == "1");
    send(&run, "-INT");
    end(run)
        .exits(5)
        .says(&["the request was not started: the host stopped before its turn came"]);
    assert_eq!(inbox(&database), "0");

    database.sql("DELETE FROM cairn.hosts");
    let stream = Stream::start(&owner, &[]);
    owns(&database, stream.pid(), 256);
    let run = single();
    let pid = stream.pid().to_string();
    eventually("the owner works on it", || works(&database) == pid);
    send(&run, "-INT");
    end(run)
        .exits(5)
        .says(&["goes on at the host that owns its project"]);
    eventually("its flow ends", || {
        database.sql("SELECT string_agg(state, ' ') FROM cairn.flows") == "SUCCESS"
    });
    stream.end().exits(0);
    is_sound(&database, &other);
}
