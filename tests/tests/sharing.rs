//! Several hosts on one database of PostgreSQL, in folders that share nothing: who owns what, requests for projects that another host owns,
//! and what becomes of the flows of a host that dies.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use acceptance::program::{Program, Run, end, volume_create};
use acceptance::slow::{eventually, run_slow, send, slow_after, slower_after};
use cairn::clock::SystemClock;
use cairn::event::FlowState;
use cairn::store::postgres::Postgres;
use cairn::store::shared::partition_of;
use cairn::{Cairn, Context, HostError, Identity, Object, StoreError, Task, TaskError, TaskSpec};
use cairn_test_postgres::Database;
use serde_json::{Value, json};

/// The lease of a host in these tests.
const LEASE: Duration = Duration::from_secs(4);

/// An upper bound of every wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// Creates the folder of a host on a database.
fn host(database: &Database<'_>) -> Program {
    let program = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
    let more = "project = \"acme\"\nlease = \"4s\"\n[hosts]\nlocks = \"locks\"\n";
    program.write("cairn.toml", database.settings(more));
    program
}

/// Creates two hosts on a database of their own, in which project `acme` has no limits; `None` without PostgreSQL. Its partition is in the
/// upper half, which the host that came first keeps when the second takes its share.
fn two() -> Option<(Database<'static>, [Program; 2])> {
    let database = cairn_test_postgres::shared()?.database();
    let hosts = [host(&database), host(&database)];
    let limits = ["quota", "set", "volumes=-1", "gigabytes=-1"];
    hosts[0].run(&limits).exits(0);
    Some((database, hosts))
}

/// A run with `--jsonl`.
struct Stream {
    child: Child,
    stdin: Option<ChildStdin>,
    reports: Receiver<Value>,
}

impl Stream {
    fn start(program: &Program, flow: &str, more: &[&str]) -> Self {
        let arguments = [&["run", flow, "--jsonl"], more].concat();
        let mut command = program.command(&arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        let (told, reports) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let report = serde_json::from_str(&line).expect("a line is JSON");
                // The test may have ended.
                let _ = told.send(report);
            }
        });
        Self {
            stdin: child.stdin.take(),
            child,
            reports,
        }
    }

    fn ask(&mut self, request: &Value) {
        let stdin = self.stdin.as_mut().expect("it is open until the end");
        writeln!(stdin, "{request}").expect("the program reads");
    }

    #[track_caller]
    fn report(&self) -> Value {
        let report = self.reports.recv_timeout(PATIENCE);
        report.expect("there is a report in time")
    }

    fn kill(mut self) {
        self.child.kill().expect("it lives");
        self.child.wait().expect("it can be waited for");
    }

    /// Closes its stdin, and waits for its end. Returns the reports that were not read, too.
    fn end(mut self) -> (Run, Vec<Value>) {
        self.stdin = None;
        let mut stderr = String::new();
        let mut pipe = self.child.stderr.take().expect("stderr is a pipe");
        pipe.read_to_string(&mut stderr)
            .expect("messages are UTF-8");
        let status = self.child.wait().expect("it can be waited for");
        let reports = self.reports.iter().collect();
        let run = Run {
            exit: status.code().unwrap_or(-1),
            stdout: String::new(),
            stderr,
        };
        (run, reports)
    }
}

/// Gives all partitions to a host that lives and does nothing.
fn far(database: &Database<'_>) {
    database.sql(
        "INSERT INTO cairn.hosts (id, name, pid, started_at, expires_at)
             VALUES (decode(repeat('01', 16), 'hex'), 'far', 7, 0, clock_timestamp() + interval '1 hour');
         UPDATE cairn.partitions SET host = (SELECT id FROM cairn.hosts)",
    );
}

/// Waits until a process owns this many partitions.
#[track_caller]
fn owns(database: &Database<'_>, child: &Child, parts: &str) {
    let pid = child.id();
    let sql = format!(
        "SELECT count(*) FROM cairn.partitions JOIN cairn.hosts ON hosts.id = host WHERE pid = {pid}"
    );
    eventually(&format!("process {pid} owns {parts} partitions"), || {
        database.sql(&sql) == parts
    });
}

/// Returns the process that works on the only flow that any works on.
fn works(database: &Database<'_>) -> String {
    database.sql("SELECT pid FROM cairn.flows JOIN cairn.hosts ON hosts.id = host")
}

/// Asserts that usages equal bookings, and that no request is left.
#[track_caller]
fn is_sound(database: &Database<'_>, program: &Program) {
    program.run(&["quota", "check", "--admin"]).exits(0);
    assert_eq!(database.sql("SELECT count(*) FROM cairn.inbox"), "0");
}

/// Sets what becomes of a flow whose host is lost.
fn on_lost(program: &Program, what: &str) {
    let path = program.path("slow.toml");
    let flow = std::fs::read_to_string(&path).expect("the flow");
    let flow = flow.replacen("[flow]\n", &format!("[flow]\non_lost = \"{what}\"\n"), 1);
    program.write("slow.toml", flow);
}

#[test]
fn a_request_for_a_project_that_another_host_owns_runs_there() {
    let Some((database, [owner, other])) = two() else {
        return;
    };
    let stream = Stream::start(&owner, &volume_create(), &[]);
    owns(&database, &stream.child, "256");
    let report = other
        .run(&["run", &volume_create(), "-i", r#"{"size": 1}"#, "--json"])
        .exits(0)
        .json();
    assert_eq!(report["flow"]["state"], "SUCCESS");

    // The owner has never seen the plan of this one.
    slow_after(&other, "entry-create");
    let slow = other.start(&["run", "slow.toml", "-i", "slow.json", "--json"]);
    let pid = stream.child.id().to_string();
    eventually("the owner works on it", || works(&database) == pid);
    let report = end(slow).exits(0).json();
    assert_eq!(report["flow"]["state"], "SUCCESS");
    let (run, reports) = stream.end();
    assert_eq!((run.exit, reports), (0, vec![]), "{}", run.stderr);
    is_sound(&database, &other);
}

#[test]
fn a_key_stands_for_one_request_at_whichever_host_it_is_made() {
    let Some((database, [owner, other])) = two() else {
        return;
    };
    let mut stream = Stream::start(&owner, &volume_create(), &[]);
    owns(&database, &stream.child, "256");
    stream.ask(&json!({"request": {"size": 1}, "key": "k"}));
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
    let (run, _) = stream.end();
    assert_eq!(run.exit, 0, "{}", run.stderr);
    is_sound(&database, &other);
}

#[test]
fn two_streams_share_the_projects_and_give_them_back() {
    let Some((database, [first, second])) = two() else {
        return;
    };
    let mut one = Stream::start(&first, &volume_create(), &[]);
    owns(&database, &one.child, "256");
    let mut two = Stream::start(&second, &volume_create(), &[]);
    owns(&database, &one.child, "128");
    owns(&database, &two.child, "128");
    for stream in [&mut one, &mut two] {
        stream.ask(&json!({"size": 1}));
        assert_eq!(stream.report()["flow"]["state"], "SUCCESS");
    }
    let (run, _) = one.end();
    assert_eq!(run.exit, 0, "{}", run.stderr);
    owns(&database, &two.child, "256");
    two.ask(&json!({"size": 1}));
    assert_eq!(two.report()["flow"]["state"], "SUCCESS");
    let (run, _) = two.end();
    assert_eq!(run.exit, 0, "{}", run.stderr);
    is_sound(&database, &second);
}

#[test]
fn a_flow_of_a_host_that_is_drained_goes_on_at_another_one() {
    let Some((database, [first, second])) = two() else {
        return;
    };
    slower_after(&first, "entry-create", 8);
    slow_after(&second, "entry-create");
    let mut one = Stream::start(&first, "slow.toml", &[]);
    owns(&database, &one.child, "256");
    one.ask(&json!({"size": 5}));
    let (old, mut two) = (one.child.id(), Stream::start(&second, "slow.toml", &[]));
    eventually("the first host works on it", || {
        works(&database) == old.to_string()
    });
    database.sql(&format!(
        "UPDATE cairn.hosts SET draining = TRUE WHERE pid = {old}"
    ));
    owns(&database, &two.child, "256");
    let new = two.child.id().to_string();
    eventually("the second host goes on with it", || {
        works(&database) == new
    });
    // Although its plan rolls back flows whose host is lost.
    assert_eq!(one.report()["flow"]["state"], "SUCCESS");
    // What is asked of the drained host runs at the other one.
    one.ask(&json!({"size": 5}));
    eventually("the second host works on it", || works(&database) == new);
    assert_eq!(one.report()["flow"]["state"], "SUCCESS");
    two.ask(&json!({"size": 5}));
    assert_eq!(two.report()["flow"]["state"], "SUCCESS");
    for stream in [one, two] {
        let (run, _) = stream.end();
        assert_eq!(run.exit, 0, "{}", run.stderr);
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
    let mut stream = Stream::start(&only, "slow.toml", &[]);
    owns(&database, &stream.child, "256");
    stream.ask(&json!({"size": 5}));
    eventually("it works", || !works(&database).is_empty());
    let drain = operator.start(&["host", "drain", "--all"]);
    assert_eq!(stream.report()["flow"]["state"], "SUCCESS");
    end(drain).exits(0);
    let (run, _) = stream.end();
    assert_eq!(run.exit, 0, "{}", run.stderr);
    is_sound(&database, &operator);
}

/// Kills a host while it works on a flow that another host has asked for. Returns the report and the exit code of that one.
fn killed(what: &str) -> Option<(Value, i32)> {
    let (database, [owner, other]) = two()?;
    let stream = Stream::start(&owner, &volume_create(), &[]);
    owns(&database, &stream.child, "256");
    slow_after(&other, "entry-create");
    on_lost(&other, what);
    let mut waiting = Stream::start(&other, "slow.toml", &[]);
    owns(&database, &waiting.child, "128");
    waiting.ask(&json!({"size": 5}));
    let pid = stream.child.id().to_string();
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
    let (run, _) = waiting.end();
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
    let stream = Stream::start(&owner, &volume_create(), &[]);
    owns(&database, &stream.child, "256");
    slower_after(&other, "entry-create", 3);
    on_lost(&other, "resume");
    let single = other.start(&["run", "slow.toml", "-i", "slow.json", "--json"]);
    let pid = stream.child.id().to_string();
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
fn a_signal_withdraws_the_request_of_a_single_run_unless_its_flow_has_begun() {
    let Some((database, [owner, other])) = two() else {
        return;
    };
    slower_after(&other, "entry-create", 2);
    let single = || other.start(&["run", "slow.toml", "-i", "slow.json", "--json"]);
    far(&database);
    let run = single();
    eventually("its request is forwarded", || {
        database.sql("SELECT count(*) FROM cairn.inbox") == "1"
    });
    send(&run, "-INT");
    end(run)
        .exits(5)
        .says(&["the request was not started: the host stopped before its turn came"]);
    assert_eq!(database.sql("SELECT count(*) FROM cairn.inbox"), "0");

    database.sql("DELETE FROM cairn.hosts");
    let stream = Stream::start(&owner, &volume_create(), &[]);
    owns(&database, &stream.child, "256");
    let run = single();
    let pid = stream.child.id().to_string();
    eventually("the owner works on it", || works(&database) == pid);
    send(&run, "-INT");
    end(run)
        .exits(5)
        .says(&["goes on at the host that owns its project"]);
    eventually("its flow ends", || {
        database.sql("SELECT string_agg(state, ' ') FROM cairn.flows") == "SUCCESS"
    });
    let (run, _) = stream.end();
    assert_eq!(run.exit, 0, "{}", run.stderr);
    is_sound(&database, &other);
}

#[test]
fn an_operator_asks_the_owner_of_the_project() {
    let Some((database, [owner, other])) = two() else {
        return;
    };
    slower_after(&owner, "entry-create", 3);
    let mut stream = Stream::start(&owner, "slow.toml", &[]);
    owns(&database, &stream.child, "256");
    stream.ask(&json!({"size": 5}));
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
    stream.ask(&json!({"size": 5}));
    assert_eq!(stream.report()["flow"]["state"], "SUCCESS");
    let (run, _) = stream.end();
    assert_eq!(run.exit, 5, "{}", run.stderr);
    is_sound(&database, &other);
}

/// A task in native code.
struct Double(TaskSpec);

impl Task for Double {
    fn spec(&self) -> &TaskSpec {
        &self.0
    }

    fn call(&self, _: &Arc<dyn Context>, inputs: Object) -> Result<Value, TaskError> {
        Ok(json!({"twice": inputs["size"].as_i64().map(|size| 2 * size)}))
    }
}

#[test]
fn a_flow_with_a_native_task_runs_where_its_project_is_owned_and_nowhere_else() {
    let Some((database, [folder, _])) = two() else {
        return;
    };
    let open = || {
        let config = acceptance::any::config(Default::default());
        let config = acceptance::server::config(&database.url(), config).expect("a URL");
        let store = Postgres::open(&config, Arc::new(SystemClock)).expect("it opens");
        let spec = TaskSpec::new("double")
            .requires(["size"])
            .provides(["twice"]);
        let builder = Cairn::builder().store(Arc::new(store)).native(Double(spec));
        let builder = builder.cache(folder.beside("acceptance-cache"));
        builder.build().expect("a host")
    };
    let sizes = "[flow]\nname = 'sizes'\n[plugins.inject]\nbuiltin = 'inject'\nsettings = { provides = ['size'] }\n";
    let inject = "[[task]]\nplugin = 'inject'\n";
    let double = "[plugins.double]\nbuiltin = 'double'\n";
    folder
        .write("plain.toml", format!("{sizes}{inject}"))
        .write(
            "native.toml",
            format!("{sizes}{double}{inject}[[task]]\nplugin = 'double'\n"),
        );
    let run = |cairn: &Cairn, flow: &str| {
        let flow = cairn.flow(folder.path(flow)).expect("it is planned");
        let report = flow.run(&Identity::new("ann", "acme"), json!({"size": 1}));
        report.map(|report| report.flow.state)
    };
    let (first, second) = (open(), open());
    assert!(matches!(run(&first, "native.toml"), Ok(FlowState::Success)));
    match run(&second, "native.toml") {
        Err(HostError::Store(StoreError::Elsewhere { pid, .. })) => {
            assert_eq!(pid, std::process::id());
        }
        other => panic!("the first host owns the project: {other:?}"),
    }
    assert!(matches!(run(&second, "plain.toml"), Ok(FlowState::Success)));
    drop(first);
    assert!(matches!(
        run(&second, "native.toml"),
        Ok(FlowState::Success)
    ));
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
    let mut stream = Stream::start(&owner, "slow.toml", &[]);
    owns(&database, &stream.child, "256");
    // In the middle of a flow, which rests for it between two tasks.
    let before = stream.child.id().to_string();
    stream.ask(&json!({"size": 5}));
    eventually("it works", || works(&database) == before);
    eventually("it is made", || other.run(&change).exit == 0);
    assert_eq!(database.sql(limits), "1");
    assert_eq!(stream.report()["flow"]["state"], "SUCCESS");
    let volume = database.sql("SELECT id FROM cairn.volumes");
    eventually("it is made", || {
        other.run(&["volume", "delete", &volume]).exit == 0
    });
    owns(&database, &stream.child, "256");
    let (run, _) = stream.end();
    assert_eq!(run.exit, 0, "{}", run.stderr);
    is_sound(&database, &other);
}

#[test]
fn a_flow_of_a_process_that_is_killed_is_recovered_by_a_host_that_shares() {
    let Some((database, [first, second])) = two() else {
        return;
    };
    slower_after(&first, "entry-create", 20);
    let mut slow = run_slow(&first);
    let stream = Stream::start(&second, &volume_create(), &[]);
    owns(&database, &stream.child, "255");
    slow.kill().expect("it lives");
    slow.wait().expect("it can be waited for");
    let since = Instant::now();
    eventually("its flow is rolled back", || {
        database.sql("SELECT state FROM cairn.flows") == "FAILURE"
    });
    assert!(since.elapsed() < LEASE + Duration::from_secs(3));
    owns(&database, &stream.child, "256");
    let (run, _) = stream.end();
    assert_eq!(run.exit, 0, "{}", run.stderr);
    is_sound(&database, &second);
}

#[test]
fn a_host_that_was_fenced_off_does_not_wait_for_flows_of_others() {
    let Some((database, [owner, other])) = two() else {
        return;
    };
    slower_after(&other, "entry-create", 20);
    let stream = Stream::start(&owner, &volume_create(), &[]);
    owns(&database, &stream.child, "256");
    let mut waiting = Stream::start(&other, "slow.toml", &[]);
    owns(&database, &waiting.child, "128");
    waiting.ask(&json!({"size": 5}));
    let pid = stream.child.id().to_string();
    eventually("the owner works on it", || works(&database) == pid);
    let pid = waiting.child.id();
    database.sql(&format!("DELETE FROM cairn.hosts WHERE pid = {pid}"));
    let (run, _) = waiting.end();
    assert_eq!(run.exit, 1, "{}", run.stderr);
    stream.kill();
}

/// A host is asked for this many flows of a project that another one owns, and that one is killed while it works on them and on its own.
fn one_of_two_is_killed(requests: usize) {
    let Some((database, [first, second])) = two() else {
        return;
    };
    let mut doomed = Stream::start(&first, &volume_create(), &[]);
    owns(&database, &doomed.child, "256");
    let mut survivor = Stream::start(&second, &volume_create(), &[]);
    owns(&database, &survivor.child, "128");
    let asked = [
        (&mut doomed, usize::MAX, Duration::from_millis(5)),
        (&mut survivor, requests, Duration::ZERO),
    ];
    for (stream, many, pause) in asked {
        let mut stdin = stream.stdin.take().expect("it is open");
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
    assert_eq!(database.sql(&owner), doomed.child.id().to_string());
    doomed.kill();
    let in_flight = database.sql("SELECT count(*) FROM cairn.flows WHERE host IS NOT NULL");
    let in_flight: usize = in_flight.parse().expect("a number");
    let (run, reports) = survivor.end();
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

/// Takes about a minute.
#[test]
#[ignore = "long"]
fn of_two_long_streams_one_is_killed_and_the_other_reports_every_request() {
    one_of_two_is_killed(5_000);
}
