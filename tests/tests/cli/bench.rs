use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;

use acceptance::program::{Program, Run, end};
use acceptance::slow::{eventually, send};
use serde_json::Value;

use super::program;

/// Runs a bench with its databases on the disk of the build: a temporary folder may be in memory, where a measurement means nothing.
fn bench(program: &Program, more: &[&str]) -> Value {
    let db = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cairn.db");
    let db = db.display().to_string();
    let mut arguments = vec![
        "bench",
        "--db",
        &db,
        "--flows",
        "50",
        "--concurrency",
        "4",
        "--json",
    ];
    arguments.extend(more);
    let figures = program.json(&arguments);
    assert!(
        !Path::new(&db).exists(),
        "the database that --db names is not touched"
    );
    figures
}

#[track_caller]
fn number(figures: &Value, field: &str) -> f64 {
    let number = figures[field].as_f64();
    number.unwrap_or_else(|| panic!("`{field}` is no number in {figures:#}"))
}

#[test]
fn every_case_is_measured_beside_its_baselines() {
    let program = program();
    for case in ["success", "over-quota", "cast-fails"] {
        let figures = bench(&program, &["--case", case]);
        assert_eq!(figures["case"], case);
        assert_eq!(figures["flows"], 50);
        assert_eq!(figures["concurrency"], 4);
        for field in [
            "flows_per_s",
            "p50_ms",
            "p99_ms",
            "cpu_us_per_flow",
            "floor_flows_per_s",
            "statements_flows_per_s",
            "statements_cpu_us_per_flow",
            "native_flows_per_s",
            "bare_call_us",
            "engine_call_us",
            "commit_ms",
            "commits_per_flow",
            "max_rss_mib",
            "cpus",
        ] {
            assert!(
                number(&figures, field) > 0.0,
                "`{field}` of {case}: {figures:#}"
            );
        }
        assert!(number(&figures, "load1") >= 0.0);

        // Relations that hold on any machine, however busy.
        assert!(number(&figures, "p50_ms") <= number(&figures, "p99_ms"));
        // With four open flows, four share a commit at most, and a flow that waits once is committed once; a batch that reaches its maximal
        // age adds commits.
        let commits = number(&figures, "commits_per_flow");
        assert!((0.02..=20.0).contains(&commits), "{commits}");
        let sandboxed = number(&figures, "cpu_us_per_flow");
        let native = number(&figures, "native_cpu_us_per_flow");
        let floor = number(&figures, "floor_cpu_us_per_flow");
        assert!(sandboxed > floor && native > floor, "{figures:#}");
        assert_eq!(figures["storage"], "sqlite");
        let added = number(&figures, "engine_call_us") / number(&figures, "bare_call_us");
        assert!((0.5..20.0).contains(&added), "{added}");
    }
}

#[test]
fn flows_in_memory_are_measured_beside_the_same_baselines() {
    let program = program();
    for case in ["success", "over-quota", "cast-fails"] {
        let figures = bench(&program, &["--store", "memory", "--case", case]);
        assert_eq!(figures["storage"], "memory");
        assert!(number(&figures, "commits_per_flow") > 0.0);
        let sandboxed = number(&figures, "cpu_us_per_flow");
        let native = number(&figures, "native_cpu_us_per_flow");
        assert!(sandboxed > native, "{figures:#}");
        assert!(number(&figures, "floor_cpu_us_per_flow") > 0.0);
    }
    let arguments = ["bench", "--store", "memory", "--volumes", "1"];
    program
        .run(&arguments)
        .exits(2)
        .says(&["leave out --volumes"]);
}

#[test]
fn a_database_that_is_filled_and_a_queue_are_measured_too() {
    let figures = bench(
        &program(),
        &["--volumes", "2000", "--finished-flows", "100"],
    );
    assert_eq!(figures["volumes"], 2000);
    assert_eq!(figures["finished_flows"], 100);

    let program = program();
    let db = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cairn.db");
    let db = db.display().to_string();
    let figures = program.json(&["bench", "--db", &db, "--queued", "60", "--json"]);
    assert_eq!(figures["flows"], 60);
    assert_eq!(figures["queued"], true);
    // A queued flow waits for those before it.
    assert!(number(&figures, "p99_ms") > number(&figures, "p50_ms"));
}

#[test]
fn people_are_shown_a_table_with_ratios() {
    let program = program();
    let db = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cairn.db");
    let db = db.display().to_string();
    let run = program
        .run(&["bench", "--db", &db, "--flows", "20"])
        .exits(0);
    for words in [
        "20 flows, success, 64 in flight",
        "RATIO",
        "a bare instance",
        "commits a flow",
    ] {
        assert!(
            run.stdout.contains(words),
            "`{words}` is not in:\n{}",
            run.stdout
        );
    }
}

#[test]
fn bad_usage_runs_nothing() {
    let program = program();
    for (arguments, words) in [
        (&["--flows", "0"][..], "0 is not in 1..=10000000"),
        (&["--concurrency", "1000"], "1000 is not in 1..=256"),
        (&["--case", "slow"], "over-quota"),
        (&["--queued", "5", "--flows", "5"], "cannot be used with"),
        (&["--db", "no/such/cairn.db"], "no/such"),
    ] {
        let mut all = vec!["bench"];
        all.extend(arguments);
        let run = program.run(&all).exits(2).says(&[words]);
        assert_eq!(run.stdout, "");
    }
}

/// Returns an empty folder on the disk of the build.
fn place(name: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&place);
    fs::create_dir(&place).expect("it can be made");
    place
}

/// Returns the folders of benches in a place.
fn folders(place: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(place).expect("it is there");
    let folders = entries.map(|entry| entry.expect("an entry").path());
    folders.collect()
}

/// A bench that is killed when its test ends.
struct Bench(Option<Child>);

impl Bench {
    /// Ends it by a signal.
    fn end_by(mut self, signal: &str) -> Run {
        let child = self.0.take().expect("it still runs");
        send(&child, signal);
        end(child)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            child.kill().expect("it still runs");
            child.wait().expect("it can be waited for");
        }
    }
}

/// Starts a long bench, and returns it with its working folder.
fn start(program: &Program, place: &Path) -> (Bench, PathBuf) {
    let before = folders(place);
    let db = place.join("cairn.db").display().to_string();
    let bench = Bench(Some(
        program.start(&["bench", "--db", &db, "--flows", "1000000"]),
    ));
    let mut own = None;
    eventually("it works in a folder of its own", || {
        own = folders(place)
            .into_iter()
            .find(|folder| !before.contains(folder));
        // The lock file, and a database.
        own.as_ref().is_some_and(|folder| folders(folder).len() > 1)
    });
    (bench, own.expect("it was found"))
}

#[test]
fn a_bench_that_a_signal_ends_leaves_nothing() {
    let program = program();
    let place = place("bench-signals");
    for signal in ["-INT", "-TERM"] {
        let (bench, _) = start(&program, &place);
        let run = bench.end_by(signal).exits(-1);
        assert_eq!(run.stdout, "");
        assert_eq!(folders(&place), [] as [PathBuf; 0], "{signal}");
    }
}

#[test]
fn what_a_bench_that_was_killed_leaves_is_removed_by_the_next_one_and_nothing_of_one_that_lives() {
    let program = program();
    let place = place("bench-killed");
    let (killed, left) = start(&program, &place);
    killed.end_by("-KILL").exits(-1);
    assert_eq!(folders(&place), [&*left]);

    let (lives, its) = start(&program, &place);
    assert_eq!(folders(&place), [&*its]);
    let db = place.join("cairn.db").display().to_string();
    program
        .run(&["bench", "--db", &db, "--flows", "20"])
        .exits(0);
    assert_eq!(folders(&place), [&*its]);
    lives.end_by("-INT").exits(-1);
    assert_eq!(folders(&place), [] as [PathBuf; 0]);
}

/// Fields of the figures of hosts, which are above 0 in any run.
const OF_HOSTS: [&str; 7] = [
    "flows_per_s",
    "hosts_cpu_us_per_flow",
    "server_cpu_us_per_flow",
    "commits_per_flow",
    "sqlite_flows_per_s",
    "sqlite_cpu_us_per_flow",
    "cpus",
];

#[test]
fn hosts_on_a_server_are_measured_beside_the_database_that_is_named() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let (program, database) = (program(), server.database());
    program.write("cairn.toml", cairn_test_postgres::UNSAFE);
    let url = database.url();
    let measured = |hosts: &str, projects: &str| {
        let shape = ["--hosts", hosts, "--projects", projects, "--flows", "40"];
        program.json(&[&["bench", "--db", &url, "--json"], &shape[..]].concat())
    };
    // Several projects each, and one project whose owner runs the flows of all. Each host runs as many flows as the others.
    for (hosts, projects, flows) in [("2", "8", 40), ("3", "1", 42)] {
        let figures = measured(hosts, projects);
        assert_eq!(figures["hosts"].to_string(), hosts);
        assert_eq!(figures["projects"].to_string(), projects);
        assert_eq!(figures["flows"], flows);
        for field in OF_HOSTS {
            assert!(number(&figures, field) > 0.0, "`{field}`: {figures:#}");
        }
        assert!(figures["waits"].is_array(), "{figures:#}");
        let scratch = "SELECT count(*) FROM pg_database WHERE datname LIKE 'cairn\\_scratch\\_%'";
        assert_eq!(database.sql(scratch), "0", "a database is left");
    }
    is_untouched(&database);
}

#[test]
fn a_server_is_measured_only_where_db_names_it() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let (program, database) = (program(), server.database());
    let url = database.url();
    program.write("cairn.toml", database.settings(""));
    let figures = program.json(&["bench", "--flows", "20", "--json"]);
    assert_eq!(figures["storage"], "sqlite");
    is_untouched(&database);
    let on_server = ["--db", &url];
    for (arguments, words) in [
        (&["--hosts", "2"][..], "need a --db on a server"),
        (&["--projects", "2"], "need a --db on a server"),
        (
            &[&on_server[..], &["--store", "memory"]].concat(),
            "contradict each other",
        ),
        (
            &[&on_server[..], &["--queued", "5"]].concat(),
            "do not work on a server",
        ),
        (
            &[&on_server[..], &["--volumes", "5"]].concat(),
            "do not work on a server",
        ),
        (
            &[&on_server[..], &["--hosts", "3", "--flows", "2"]].concat(),
            "more hosts than flows",
        ),
    ] {
        let run = program.run(&[&["bench"], arguments].concat());
        let run = run.exits(2).says(&[words]);
        assert_eq!(run.stdout, "");
    }
    is_untouched(&database);
}

/// Asserts that a database has no tables of Cairn's.
#[track_caller]
fn is_untouched(database: &cairn_test_postgres::Database<'_>) {
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'cairn'";
    assert_eq!(database.sql(schemas), "0", "the database that is named");
}
