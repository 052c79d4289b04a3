use std::path::Path;

use acceptance::program::Program;
use serde_json::Value;

use super::program;

/// The program, and the arguments that keep its databases on the disk that the tests are built on: a temporary folder may
/// be kept in memory, where nothing is measured.
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

        // What holds on any machine, however busy.
        assert!(number(&figures, "p50_ms") <= number(&figures, "p99_ms"));
        // Four in flight share a commit at most, and a flow that waits once is committed once; a batch that grows old is more.
        let commits = number(&figures, "commits_per_flow");
        assert!((0.02..=20.0).contains(&commits), "{commits}");
        let sandboxed = number(&figures, "cpu_us_per_flow");
        let native = number(&figures, "native_cpu_us_per_flow");
        let floor = number(&figures, "floor_cpu_us_per_flow");
        assert!(sandboxed > native && native > floor, "{figures:#}");
        let added = number(&figures, "engine_call_us") / number(&figures, "bare_call_us");
        assert!((0.5..20.0).contains(&added), "{added}");
    }
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
    // A flow that was queued waits for those before it.
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
