//! Standbys: one that lacks commits becomes the primary, and a wait for one is cancelled.

use std::thread;
use std::time::Duration;

use acceptance::hosts::is_sound;
use acceptance::program::Program;
use acceptance::slow::eventually;
use acceptance::stream::Stream;
use cairn_test_postgres::{Database, Server, Stop};
use serde_json::json;

use super::{host, server};

/// A primary with a standby, and a host that may use both.
struct Pair {
    standby: Server,
    url: String,
}

impl Pair {
    fn new(primary: &Server, database: &Database<'_>, standby: Server) -> Self {
        let (first, second) = (primary.port(), standby.port());
        let name = database.name();
        Self {
            url: format!("postgres://cairn@127.0.0.1:{first},127.0.0.1:{second}/{name}"),
            standby,
        }
    }

    /// Ends the primary, and makes the standby one.
    fn fail_over(&self, primary: &Server) {
        primary.stop(Stop::Immediate);
        self.standby.promote();
    }
}

#[test]
fn a_host_whose_commits_an_asynchronous_standby_lacks_stops_and_says_so() {
    let Some(primary) = server() else { return };
    let database = primary.database();
    let pair = Pair::new(&primary, &database, primary.follower().expect("a standby"));
    let program = host(&pair.url, "");
    let mut stream = Stream::start(&program, &[]);
    let mut flows = vec![flow(&mut stream)];
    let count = "SELECT count(*) FROM cairn.flows";
    eventually("the standby has the flow", || {
        pair.standby.sql(database.name(), count) == "1"
    });
    pair.standby.stop_following();
    flows.push(flow(&mut stream));
    pair.fail_over(&primary);

    // The host notices it when it writes, at the latest to renew its lease.
    stream.post(&json!({"size": 1}));
    let run = stream
        .ended()
        .exits(1)
        .says(&["the database has lost history"]);
    let reports = run.lines();
    assert!(
        reports
            .iter()
            .all(|report| report["flow"]["state"] != "SUCCESS"),
        "{reports:#?}"
    );
    // As the page says, the flows that were reported and are lost are found by their ids.
    let listed = program
        .run(&["flow", "list", "--limit", "1000000", "-o", "jsonl"])
        .exits(0);
    let there = listed.lines();
    let is_there = |flow: &String| there.iter().any(|row| row["id"] == **flow);
    assert!(is_there(&flows[0]) && !is_there(&flows[1]), "{there:#?}");
    // The next process goes on from there.
    let mut next = Stream::start(&program, &[]);
    next.succeeds();
    next.end().exits(0);
    program.run(&["quota", "check", "--admin"]).exits(0);
}

/// Makes a volume, and returns the flow's id.
fn flow(stream: &mut Stream) -> String {
    let report = stream.ask();
    assert_eq!(report["flow"]["state"], "SUCCESS");
    report["flow"]["id"].as_str().expect("an id").to_owned()
}

/// The session of a host that writes batches, while it waits for a standby.
const WAITING: &str = "FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE '% writer' AND wait_event = 'SyncRep'";

/// Cancels the wait of a batch for the standby, some times. The host tries to make sure of the batch, and waits for the standby again.
fn cancel(database: &Database<'_>, stream: &Stream) {
    for _ in 0..3 {
        let mut session = String::new();
        eventually("the host waits for the standby", || {
            session = database.sql(&format!("SELECT pid {WAITING}"));
            !session.is_empty()
        });
        database.sql(&format!("SELECT pg_cancel_backend(pid) {WAITING}"));
        eventually("the wait is cancelled", || {
            database.sql(&format!("SELECT pid {WAITING}")) != session
        });
        thread::sleep(Duration::from_millis(100));
        assert_eq!(stream.try_report(), None, "it is not on the standby");
    }
}

#[test]
fn a_batch_whose_wait_for_a_standby_is_cancelled_is_not_reported_before_it_is_there() {
    let Some(primary) = server() else { return };
    let database = primary.database();
    let program = host(&database.url(), "");
    let mut stream = Stream::start(&program, &[]);
    flow(&mut stream);
    primary.configure("synchronous_standby_names", "nobody");
    stream.post(&json!({"size": 1}));
    cancel(&database, &stream);
    primary.configure("synchronous_standby_names", "");
    assert_eq!(stream.report()["flow"]["state"], "SUCCESS");
    stream.end().exits(0);
    is_whole(&database, &program);
}

#[test]
fn a_batch_whose_wait_for_a_standby_was_cancelled_is_sent_again_to_the_standby_that_lacks_it() {
    let Some(primary) = server() else { return };
    let database = primary.database();
    let pair = Pair::new(&primary, &database, primary.standby().expect("a standby"));
    let program = host(&pair.url, "");
    let mut stream = Stream::start(&program, &[]);
    flow(&mut stream);
    pair.standby.stop_following();
    stream.post(&json!({"size": 1}));
    cancel(&database, &stream);
    pair.fail_over(&primary);
    assert_eq!(stream.report()["flow"]["state"], "SUCCESS");
    stream.end().exits(0);
    let there = pair.standby.with(&database);
    is_whole(&there, &program);
}

/// Asserts that two flows have made a volume each.
fn is_whole(database: &Database<'_>, program: &Program) {
    let flows = "SELECT string_agg(state, ' ') FROM cairn.flows";
    assert_eq!(database.sql(flows), "SUCCESS SUCCESS");
    let volumes = "SELECT count(*), count(DISTINCT flow) FROM cairn.volumes WHERE NOT deleted";
    assert_eq!(database.sql(volumes), "2|2");
    is_sound(database, program);
}
