//! What becomes of the flows of a host that dies, or was taken for dead.

use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use acceptance::hosts::{LEASE, is_sound, owns, works};
use acceptance::program::{Program, end};
use acceptance::slow::{eventually, run_slow, slow_after, slower_after};
use acceptance::stream::Stream;
use cairn::store::shared::partition_of;
use serde_json::{Value, json};

use super::two;

/// Sets what becomes of a flow whose host is lost.
fn on_lost(program: &Program, what: &str) {
    let path = program.path("slow.toml");
    let flow = std::fs::read_to_string(&path).expect("the flow");
    let flow = flow.replacen("[flow]\n", &format!("[flow]\non_lost = \"{what}\"\n"), 1);
    program.write("slow.toml", flow);
}

/// Kills a host while it works on a flow that another host has asked for. Returns the report and the exit code of that one.
fn killed(what: &str) -> Option<(Value, i32)> {
    let (database, [owner, other]) = two()?;
    let stream = Stream::start(&owner, &[]);
    owns(&database, stream.pid(), 256);
    slow_after(&other, "entry-create");
    on_lost(&other, what);
    let mut waiting = Stream::of(&other, "slow.toml", &[]);
    owns(&database, waiting.pid(), 128);
    waiting.post(&json!({"size": 5}));
    let pid = stream.pid().to_string();
    eventually("the owner works on it", || works(&database) == pid);
    thread::sleep(Duration::from_millis(200));
    let since = Instant::now();
    stream.kill();
    let report = waiting.report();
    assert!(
        since.elapsed() < LEASE + Duration::from_secs(4),
        "{:?}",
        since.elapsed()
    );
    let run = waiting.end();
    is_sound(&database, &other);
    Some((report, run.exit))
}

#[test]
fn a_forwarded_flow_of_a_host_that_dies_is_rolled_back_or_goes_on_as_its_plan_says() {
    if let Some((report, exit)) = killed("rollback") {
        assert_eq!(report["flow"]["state"], "FAILURE");
        assert_eq!(report["rollback"]["verdict"], "clean");
        assert_eq!(exit, 3);
    }
    if let Some((report, exit)) = killed("resume") {
        assert_eq!(report["flow"]["state"], "SUCCESS");
        assert_eq!(exit, 0);
    }
}

#[test]
fn a_single_run_takes_over_the_project_that_it_waits_for() {
    let Some((database, [owner, other])) = two() else {
        return;
    };
    let stream = Stream::start(&owner, &[]);
    owns(&database, stream.pid(), 256);
    slower_after(&other, "entry-create", 3);
    on_lost(&other, "resume");
    let single = other.start(&["run", "slow.toml", "-i", "slow.json", "--json"]);
    let pid = stream.pid().to_string();
    eventually("the owner works on it", || works(&database) == pid);
    stream.kill();
    eventually("it works on it", || {
        works(&database) == single.id().to_string()
    });
    let owned = database.sql("SELECT count(*) FROM cairn.partitions WHERE host IS NOT NULL");
    assert_eq!(owned, "1", "it claims what it needs");
    let report = end(single).exits(0).json();
    assert_eq!(report["flow"]["state"], "SUCCESS");
    is_sound(&database, &other);
}

#[test]
fn a_flow_of_a_process_that_is_killed_is_recovered_by_a_host_that_shares() {
    let Some((database, [first, second])) = two() else {
        return;
    };
    slower_after(&first, "entry-create", 20);
    let mut slow = run_slow(&first);
    let stream = Stream::start(&second, &[]);
    owns(&database, stream.pid(), 255);
    slow.kill().expect("it lives");
    slow.wait().expect("it can be waited for");
    let since = Instant::now();
    eventually("its flow is rolled back", || {
        database.sql("SELECT state FROM cairn.flows") == "FAILURE"
    });
    assert!(since.elapsed() < LEASE + Duration::from_secs(3));
    owns(&database, stream.pid(), 256);
    // Every task was reverted, also the one whose component this host has in the database alone.
    assert!(!second.path("slow.wat").exists());
    let flow = second.json(&["flow", "list", "--json"])[0]["id"].clone();
    let report = second.json(&["flow", "show", flow.as_str().expect("an id"), "--json"]);
    assert_eq!(report["rollback"]["verdict"], "clean", "{report:#}");
    let states = report["tasks"].as_array().expect("its tasks").iter();
    let reverted: Vec<_> = states.map(|task| &task["state"]).collect();
    assert_eq!(reverted.len(), 5, "{report:#}");
    assert!(
        reverted.iter().all(|state| **state == "REVERTED"),
        "{report:#}"
    );
    stream.end().exits(0);
    is_sound(&database, &second);
}

#[test]
fn a_host_that_was_fenced_off_does_not_wait_for_flows_of_others() {
    let Some((database, [owner, other])) = two() else {
        return;
    };
    slower_after(&other, "entry-create", 20);
    let stream = Stream::start(&owner, &[]);
    owns(&database, stream.pid(), 256);
    let mut waiting = Stream::of(&other, "slow.toml", &[]);
    owns(&database, waiting.pid(), 128);
    waiting.post(&json!({"size": 5}));
    let pid = stream.pid().to_string();
    eventually("the owner works on it", || works(&database) == pid);
    let pid = waiting.pid();
    database.sql(&format!("DELETE FROM cairn.hosts WHERE pid = {pid}"));
    waiting.end().exits(1);
    stream.kill();
}

/// A host is asked for this many flows of a project that another one owns, and that one is killed while it works on them and on its own.
fn one_of_two_is_killed(requests: usize) {
    let Some((database, [first, second])) = two() else {
        return;
    };
    let mut doomed = Stream::start(&first, &[]);
    owns(&database, doomed.pid(), 256);
    let mut survivor = Stream::start(&second, &[]);
    owns(&database, survivor.pid(), 128);
    let asked = [
        (&mut doomed, usize::MAX, Duration::from_millis(5)),
        (&mut survivor, requests, Duration::ZERO),
    ];
    for (stream, many, pause) in asked {
        let mut stdin = stream.take_stdin();
        // Ends when its reader is killed.
        thread::spawn(move || {
            for _ in 0..many {
                if writeln!(stdin, "{}", json!({"size": 1})).is_err() {
                    return;
                }
                thread::sleep(pause);
            }
        });
    }
    // They were forwarded, as the other host owns the project.
    for _ in 0..requests / 4 {
        assert_eq!(survivor.report()["flow"]["state"], "SUCCESS");
    }
    assert_eq!(doomed.report()["flow"]["state"], "SUCCESS");
    let owner = format!(
        "SELECT pid FROM cairn.partitions JOIN cairn.hosts ON hosts.id = host WHERE partitions.id = {}",
        partition_of("acme")
    );
    assert_eq!(database.sql(&owner), doomed.pid().to_string());
    doomed.kill();
    let in_flight = database.sql("SELECT count(*) FROM cairn.flows WHERE host IS NOT NULL");
    let in_flight: usize = in_flight.parse().expect("a number");
    let run = survivor.end();
    let reports = run.lines();
    assert_eq!(reports.len(), requests - requests / 4, "{}", run.stderr);
    let failed = reports
        .iter()
        .filter(|report| report["flow"]["state"] != "SUCCESS");
    let failed: Vec<&Value> = failed.collect();
    assert!(
        failed
            .iter()
            .all(|report| report["flow"]["state"] == "FAILURE"
                && report["rollback"]["verdict"] != "incomplete"),
        "{failed:#?}"
    );
    assert!(
        failed.len() <= in_flight,
        "{} failed, and the dead host was at {in_flight}",
        failed.len()
    );
    assert_eq!(run.exit, if failed.is_empty() { 0 } else { 3 });
    // The survivor has taken over what the other host was asked for, too.
    let left = "SELECT count(*) FROM cairn.flows WHERE host IS NOT NULL";
    assert_eq!(
        database.sql(left),
        "0",
        "somebody is in the middle of a flow"
    );
    // A flow that failed near its end keeps its volume, with the status `error`.
    let volumes = "SELECT count(*) FROM cairn.volumes WHERE NOT deleted AND status <> 'error'";
    let volumes = database.sql(volumes);
    let flows = database.sql("SELECT count(*) FROM cairn.flows WHERE state = 'SUCCESS'");
    assert_eq!(volumes, flows);
    is_sound(&database, &second);
}

#[test]
fn of_two_streams_one_is_killed_and_the_other_reports_every_request() {
    one_of_two_is_killed(500);
}

#[test]
#[ignore = "takes a minute"]
fn of_two_long_streams_one_is_killed_and_the_other_reports_every_request() {
    one_of_two_is_killed(5_000);
}
