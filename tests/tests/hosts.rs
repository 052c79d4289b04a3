//! Several processes on one database: concurrently, and while one of them is stopped.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use acceptance::crash::{Death, Found, Life, Task, check};
use acceptance::guest::Call;
use acceptance::program::{Program, end, volume_create};
use acceptance::slow::{eventually, run_slow, send, slow_after, start_slow};
use cairn::audit::Asker;
use cairn::clock::SystemClock;
use cairn::event::FlowState;
use cairn::host::Dispatched;
use cairn::plugin::{InProcess, PluginConfig, Plugins};
use cairn::store::operation::Operation;
use cairn::{FlowId, Host, HostError, Sqlite, Verdict};
use rusqlite::types::Value as Cell;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

/// The duration of a lease in these tests.
const LEASE: Duration = Duration::from_secs(1);

/// The error of a process whose flows were taken over (fenced).
const FENCED: &str = "another process took this one's flows over";

/// Creates a database without limits, whose processes have short leases and little patience.
fn program() -> Program {
    let program = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
    program.write("cairn.toml", "lease = \"1s\"\npatience = \"300ms\"\n");
    program
        .run(&["types", "create", "gold", "--encrypt", "luks"])
        .exits(0);
    for project in ["demo", "acme"] {
        let limits = ["volumes=-1", "gigabytes=-1", "--project", project];
        program
            .run(&[&["quota", "set"], &limits[..]].concat())
            .exits(0);
    }
    program
}

#[track_caller]
fn checked(program: &Program) -> Found {
    program.run(&["quota", "check", "--admin"]).exits(0);
    match check(&program.path("cairn.db")) {
        Ok(found) => found,
        Err(error) => panic!("{error:#}"),
    }
}

/// Returns every row of every table.
fn everything(program: &Program) -> Vec<(String, Vec<Vec<Cell>>)> {
    let path = program.path("cairn.db");
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("it opens");
    let mut tables = db
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        .expect("a statement");
    let tables = tables.query_map([], |row| row.get::<_, String>(0));
    let names: Vec<String> = tables
        .and_then(Iterator::collect)
        .expect("there are tables");
    let rows = |name: String| {
        let mut statement = db
            .prepare(&format!("SELECT * FROM \"{name}\""))
            .expect("a statement");
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|at| row.get(at)).collect());
        let rows = rows.and_then(Iterator::collect).expect("rows");
        (name, rows)
    };
    names.into_iter().map(rows).collect()
}

/// Returns whether a process is stopped: the third field of its `stat`, after a name that may contain anything and ends at the last
/// parenthesis.
fn is_stopped(child: &Child) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.starts_with('T'));
    state.unwrap_or(false)
}

/// Starts a process that runs the volume-create flow of project `acme` with one event per commit, and stops at a point.
fn stopped_at(program: &Program, point: &str, time: usize) -> Child {
    let life = Life {
        server: None,
        folder: program.path("."),
        cache: Path::new(env!("CARGO_BIN_EXE_crash-child")).with_file_name("acceptance-cache"),
        task: Task::Run,
        fails: None,
        resumes: false,
        events: 1,
        lease: Some(LEASE),
        dies: Some(Death {
            point: point.to_owned(),
            reverting: false,
            time,
        }),
        stops: true,
        delivers: false,
    };
    let mut child = Command::new(env!("CARGO_BIN_EXE_crash-child"))
        .arg(serde_json::to_string(&life).expect("a life is JSON"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the child starts");
    eventually("it stops", || {
        let ended = child.try_wait().expect("it is ours");
        assert!(ended.is_none(), "it ended before {point} {time}: {ended:?}");
        is_stopped(&child)
    });
    child
}

/// Checks that another process takes the only flow over when its lease has expired, and not before. Then the first process continues, and
/// must not write anything.
fn taken_over(program: &Program, stopped: Child, since: Instant, verdict: Verdict) -> String {
    // It may have renewed its lease until it was stopped.
    let until = Instant::now() + LEASE + Duration::from_millis(200);
    let early = program.json(&["recover", "--json"]);
    if since.elapsed() < LEASE * 2 / 3 {
        assert_eq!(early, json!([]), "it may go on yet");
    }
    thread::sleep(until.saturating_duration_since(Instant::now()));
    let late = program.json(&["recover", "--json"]);
    let taken = early.as_array().into_iter().chain(late.as_array());
    let taken: Vec<&Value> = taken.flatten().collect();
    assert_eq!(taken.len(), 1, "{taken:?}");
    assert_eq!(
        (&taken[0]["state"], &taken[0]["verdict"]),
        (&json!("FAILURE"), &json!(verdict))
    );
    let before = everything(program);
    send(&stopped, "-CONT");
    let run = end(stopped).exits(1);
    assert_eq!(everything(program), before, "it wrote something");
    let found = checked(program);
    let flows: Vec<_> = found.flows.values().collect();
    assert_eq!(flows, [&(FlowState::Failure, Some(verdict))]);
    run.stderr
}

#[test]
fn a_process_that_is_stopped_between_commits_loses_its_flows_and_finds_out() {
    // Early in the flow, in its middle, and near its end, where a failed volume is kept.
    for (time, verdict) in [
        (6, Verdict::Clean),
        (14, Verdict::Clean),
        (22, Verdict::Kept),
    ] {
        let program = program();
        let since = Instant::now();
        let stopped = stopped_at(&program, "BatchCommitted", time);
        let stderr = taken_over(&program, stopped, since, verdict);
        assert!(stderr.contains(FENCED), "commit {time}: {stderr}");
    }
}

#[test]
fn a_run_that_is_stopped_in_a_task_exits_with_1_when_its_flow_is_gone() {
    let program = program();
    slow_after(&program, "entry-create");
    let mut stopped = program.command(&["run", "slow.toml", "-i", "slow.json", "--json"]);
    let stopped = stopped.spawn().expect("the program starts");
    eventually("its volume is there", || {
        program
            .json(&["volumes", "list", "--json"])
            .as_array()
            .is_some_and(|volumes| !volumes.is_empty())
    });
    let since = Instant::now();
    send(&stopped, "-STOP");
    eventually("it stops", || is_stopped(&stopped));
    let stderr = taken_over(&program, stopped, since, Verdict::Clean);
    assert!(stderr.contains("error: "), "{stderr}");
    assert!(stderr.contains(FENCED), "{stderr}");
}

#[test]
fn a_process_that_lives_keeps_its_flows_for_longer_than_its_lease() {
    let program = program();
    let tasks = "\n[[task]]\nplugin = \"slow\"\nname = \"slow-one\"\n\n[[task]]\nplugin = \"slow\"\nname = \"slow-two\"\n\
                 \n[[task]]\nplugin = \"slow\"\nname = \"slow-three\"\n";
    program
        .write("slow.wat", Call::TakesASecond.component())
        .write(
            "slow.toml",
            format!("[flow]\nname = \"slow\"\n\n[plugins.slow]\npath = \"slow.wat\"\n{tasks}"),
        );
    let mut busy = start_slow(&program, &["run", "slow.toml", "--json"]);
    let since = Instant::now();
    while busy.try_wait().expect("it is ours").is_none() {
        assert_eq!(program.json(&["recover", "--json"]), json!([]));
        thread::sleep(Duration::from_millis(100));
    }
    assert!(since.elapsed() > LEASE * 2, "it took its time");
    let report = end(busy).exits(0).json();
    assert_eq!(report["flow"]["state"], "SUCCESS");
}

#[test]
fn a_process_that_is_stopped_inside_a_transaction_is_named_and_goes_on() {
    for (point, time) in [("BatchOpened", 5), ("BatchOpened", 14), ("BatchWritten", 9)] {
        let program = program();
        let stopped = stopped_at(&program, point, time);
        let pid = format!(
            "process {} has locked the database for more than 300ms",
            stopped.id()
        );
        let since = Instant::now();
        for command in [
            &["run", &volume_create()][..],
            &["recover"],
            &["quota", "set", "volumes=5"],
        ] {
            program
                .run(command)
                .exits(1)
                .says(&[&pid, "let it continue (kill -CONT) or end it"]);
        }
        assert!(since.elapsed() < Duration::from_secs(10));
        // Readers are not blocked.
        program.run(&["quota", "show"]).exits(0);
        send(&stopped, "-CONT");
        end(stopped).exits(0);
        let found = checked(&program);
        let flows: Vec<_> = found.flows.values().collect();
        assert_eq!(flows, [&(FlowState::Success, None)], "{point} {time}");
        program.run(&["quota", "set", "volumes=5"]).exits(0);
    }
}

#[test]
fn what_a_stopped_process_was_asked_is_done_when_it_goes_on() {
    let program = program();
    program.write("cairn.toml", "lease = \"1m\"\n");
    slow_after(&program, "entry-create");
    let stopped = run_slow(&program);
    send(&stopped, "-STOP");
    eventually("it stops", || is_stopped(&stopped));
    let flows = program.json(&["flows", "list", "--json"]);
    let flow = flows[0]["id"].as_str().expect("an id");
    let waits = program.start(&["flows", "rollback", flow, "--wait", "--json"]);
    thread::sleep(Duration::from_millis(300));
    send(&stopped, "-CONT");
    let report = end(waits).exits(0).json();
    assert_eq!(report["rollback"]["verdict"], "clean");
    end(stopped).exits(5);
    checked(&program);
}

/// Returns the id of the only flow, which is in INTERRUPTED.
fn interrupted(program: &Program) -> FlowId {
    slow_after(program, "entry-create");
    let child = run_slow(program);
    send(&child, "-INT");
    let report = end(child).exits(5).json();
    let id = report["flow"]["id"].as_str().expect("an id");
    id.parse().expect("an id")
}

/// Creates a host in this process that calls `does` before it creates each task of a flow.
fn host_that(program: &Program, does: impl Fn() + Send + Sync + 'static) -> Host {
    let store = Sqlite::open(
        &program.path("cairn.db"),
        acceptance::any::config(Default::default()),
        Arc::new(SystemClock),
    );
    let plugins = Plugins::new(&PluginConfig {
        cache: Some(program.beside("acceptance-cache")),
        compiler: Some(Arc::new(InProcess)),
        ..cairn::plugin_config()
    });
    let store = Arc::new(store.expect("it opens"));
    let host = Host::builder(store, plugins.expect("a sandbox"))
        .builtins(cairn_bundle::PLUGINS)
        .intercept(move |_, task| {
            does();
            task
        });
    host.build().expect("a host")
}

/// Creates a host in this process that needs nearly half a second to load a flow.
fn slow_to_take_up(program: &Program) -> Host {
    host_that(program, || thread::sleep(Duration::from_millis(50)))
}

#[test]
fn who_comes_while_a_flow_is_being_taken_up_waits_and_is_served() {
    let program = program();
    let flow = interrupted(&program);
    let host = slow_to_take_up(&program);
    let rollback = || {
        let reason = "nobody needs it".to_owned();
        host.operate(
            flow,
            &Operation::Rollback { reason },
            &Asker::new("ann", "test"),
        )
    };
    let both = thread::scope(|scope| {
        let first = scope.spawn(rollback);
        thread::sleep(Duration::from_millis(150));
        [rollback(), first.join().expect("it ends")]
    });
    for done in both {
        let Ok(Dispatched::Here(report)) = done else {
            panic!("{done:?}");
        };
        assert_eq!(report.flow.state, FlowState::Failure);
        let rollback = report.rollback.expect("it was rolled back");
        assert_eq!(rollback.verdict, Verdict::Clean);
    }
    drop(host);
    checked(&program);
}

#[test]
fn a_flow_is_taken_up_after_a_panic_in_the_making_of_its_tasks() {
    let program = program();
    let flow = interrupted(&program);
    let panicked = AtomicBool::new(false);
    let host = host_that(&program, move || {
        assert!(
            panicked.swap(true, Ordering::SeqCst),
            "the first one panics"
        );
    });
    let error = host
        .operate(flow, &Operation::Resume, &Asker::new("ann", "test"))
        .expect_err("a panic");
    assert!(
        matches!(&error, HostError::CannotTakeUp { flow: which, reason }
            if *which == flow && reason.contains("panicked")),
        "{error:?}"
    );
    let done = host.operate(flow, &Operation::Resume, &Asker::new("ann", "test"));
    let Ok(Dispatched::Here(report)) = done else {
        panic!("{done:?}");
    };
    assert_eq!(report.flow.state, FlowState::Success);
    drop(host);
    checked(&program);
}

#[test]
fn what_is_asked_of_a_flow_that_comes_to_rest_is_done_once() {
    let program = program();
    let tasks =
        ["one", "two"].map(|name| format!("[[task]]\nplugin = \"slow\"\nname = \"slow-{name}\"\n"));
    program
        .write("slow.wat", Call::TakesASecond.component())
        .write(
            "slow.toml",
            format!(
                "[flow]\nname = \"slow\"\n[plugins.slow]\npath = \"slow.wat\"\n{}",
                tasks.concat()
            ),
        );
    let child = start_slow(&program, &["run", "slow.toml", "--json"]);
    send(&child, "-INT");
    let report = end(child).exits(5).json();
    let flow = report["flow"]["id"].as_str().expect("an id");
    let flow: FlowId = flow.parse().expect("an id");
    let host = host_that(&program, || ());
    // The keeper of this process runs it, which takes a second; meanwhile the waiting caller looks at the request.
    let request = host.store().ask(flow, &Operation::Resume.into());
    let request = request.expect("it is written");
    let by = Asker::new("ann", "test");
    let report = host.answer(flow, std::process::id(), request, &Operation::Resume, &by);
    let report = report.expect("it is done");
    assert_eq!(report.flow.state, FlowState::Success);
    drop(host);
    let events = program.json(&["flows", "events", &flow.to_string(), "--json"]);
    let events = events.as_array().expect("a list").iter();
    let started = events.filter(|entry| entry["event"].get("started").is_some());
    assert_eq!(started.count(), 2, "each task once");
}

/// Feeds requests to a process until it is told to stop, and then closes its stdin.
struct Stream {
    child: Child,
    feeder: thread::JoinHandle<()>,
    stop: Arc<AtomicBool>,
    fed: Arc<AtomicUsize>,
}

impl Stream {
    /// Starts the process; it receives at least `least` requests.
    fn start(program: &Program, name: &str, least: usize) -> Self {
        let mut child = program
            .command(&["run", &volume_create(), "--jsonl", "--workers", "16"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        let (stop, fed) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let feeder = thread::spawn({
            let (stop, fed, name) = (Arc::clone(&stop), Arc::clone(&fed), name.to_owned());
            move || {
                for number in 0.. {
                    if number >= least && stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let request = json!({"size": 1, "name": format!("{name} {number}")});
                    writeln!(stdin, "{request}").expect("the program reads");
                    fed.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Self {
            child,
            feeder,
            stop,
            fed,
        }
    }

    /// Stops it, and returns the ids of its flows, which must all have succeeded.
    #[track_caller]
    fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        let run = end(self.child).exits(0);
        self.feeder.join().expect("all was read");
        let ids: Vec<String> = run
            .stdout
            .lines()
            .map(|line| {
                let report: Value = serde_json::from_str(line).expect("a report");
                assert_eq!(report["flow"]["state"], "SUCCESS", "{line}");
                report["flow"]["id"].as_str().expect("an id").to_owned()
            })
            .collect();
        assert_eq!(ids.len(), self.fed.load(Ordering::SeqCst));
        ids
    }
}

#[test]
fn two_processes_run_flows_on_one_database_at_once() {
    let program = program();
    program.write("cairn.toml", "");
    let streams = ["one", "two"].map(|name| Stream::start(&program, name, 400));
    for stream in &streams {
        stream.stop.store(true, Ordering::SeqCst);
    }
    let mut ids = streams.map(Stream::end).concat();
    let asked = ids.len();
    assert!(asked >= 800);
    ids.sort();
    ids.dedup();
    let found = checked(&program);
    assert_eq!((ids.len(), found.flows.len()), (asked, asked));
    let succeeded = found.flows.values();
    assert!(
        succeeded
            .into_iter()
            .all(|flow| *flow == (FlowState::Success, None))
    );
    // Each flow created its volume once.
    let db = Connection::open(program.path("cairn.db")).expect("it opens");
    for statement in [
        "SELECT count(*) FROM volumes WHERE deleted = 0",
        "SELECT count(DISTINCT display_name) FROM volumes",
        "SELECT in_use FROM quota_usages WHERE resource = 'volumes' AND project_id = 'demo'",
    ] {
        let number = db.query_row(statement, [], |row| row.get::<_, i64>(0));
        assert_eq!(number.expect("a number"), asked as i64, "{statement}");
    }
}

#[test]
fn a_busy_process_does_not_starve_others() {
    let program = program();
    program.write("cairn.toml", "");
    let finished = program.write("request.json", r#"{"size": 1}"#).json(&[
        "run",
        &volume_create(),
        "-i",
        "request.json",
        "--json",
    ]);
    let finished = finished["flow"]["id"].as_str().expect("an id");
    let unknown = "01a20616-1920-776a-9907-780232c46d47";
    let stream = Stream::start(&program, "busy", 3_000);
    eventually("it is busy", || stream.fed.load(Ordering::SeqCst) > 300);
    let mut took = Vec::new();
    for round in 0..50 {
        let since = Instant::now();
        match round % 3 {
            0 => {
                let run = program.run(&["flows", "interrupt", finished, "--wait"]);
                run.exits(2)
                    .says(&["`interrupt` is not allowed while the flow is SUCCESS"]);
            }
            1 => {
                let run = program.run(&["flows", "interrupt", unknown]);
                run.exits(2).says(&["no flow"]);
            }
            _ => {
                let limit = format!("snapshots={}", 1_000 + round);
                program.run(&["quota", "set", &limit]).exits(0);
            }
        }
        took.push(since.elapsed());
    }
    took.sort();
    let busy = stream.fed.load(Ordering::SeqCst);
    let flows = stream.end().len();
    println!(
        "beside a stream of {flows} flows, of which {busy} were asked for meanwhile: median {:?}, 99th percentile {:?}",
        took[took.len() / 2],
        took[took.len() * 99 / 100],
    );
    let found = checked(&program);
    assert_eq!(found.flows.len(), flows + 1);
}
