//! The statements of flows find rows by indexes: a plan that scans a table costs nothing while the table is small, and everything later.

use std::collections::BTreeSet;

use acceptance::program::{Program, repository, volume_create};
use acceptance::stream::Stream;
use cairn_test_postgres::{Database, Server, Setup};
use serde_json::json;

/// Has the server log the plan of each statement, after the name of the session's application.
const LOG_PLANS: [&str; 5] = [
    "session_preload_libraries = 'auto_explain'",
    "auto_explain.log_min_duration = 0",
    "auto_explain.log_nested_statements = on",
    "log_line_prefix = '%a|'",
    "jit = off",
];

/// Tables with a few rows at most, and those that every host keeps whole.
const SMALL: [&str; 10] = [
    "hosts",
    "host_details",
    "host_locks",
    "partitions",
    "catalogue",
    "schema",
    "facts",
    "quota_classes",
    "volume_types",
    "zones",
];

/// The sessions that never scan: those that write and read for flows, and those of requests between hosts.
const BY_KEY: &[&str] = &["writer", "fetcher", "inbox", "watcher"];

/// The session of the dispatcher's reads and of operators, whose plans depend on the sizes of tables.
const BESIDE: &[&str] = &["reader"];

/// Settings with a transport whose receiver does not exist: the dispatcher reads what is due, again and again.
const DELIVER: &str = "\n[deliver]\ntransport = \"http\"\nkey_file = \"key\"\nwait = \"100ms\"\n\
                       [deliver.topics]\n\"*\" = \"http://127.0.0.1:1/in\"\n";

/// Parts of statements that must have been judged: a flow, a request that is forwarded and taken by its owner, what became of it, operations
/// on flows, records, flows that are due, and what the dispatcher reads.
const SEEN: [&str; 9] = [
    "INSERT INTO journal",
    "FROM records",
    "wake_at <= ",
    "INSERT INTO inbox",
    "JOIN inbox ON inbox.part = partitions.id",
    "LEFT JOIN inbox ON inbox.id = u.id",
    "FROM requests JOIN flows",
    "o.due_at <= $1",
    "SELECT MIN(o.due_at)",
];

/// The tables that [`FILL`] fills.
const FULL: [&str; 6] = ["flows", "journal", "volumes", "outbox", "inbox", "records"];

/// Rows as they are after years of work.
const FILL: &str = "
    INSERT INTO cairn.flows (id, part, name, project_id, user_id, state, created_at, updated_at, entries)
    SELECT decode(md5(n::text), 'hex'), n % 256, 'old', 'project-' || n % 1000, 'ann', 'SUCCESS', n, n, 1
    FROM generate_series(1, 200000) n;
    INSERT INTO cairn.journal (flow, first, entries)
    SELECT decode(md5(n::text), 'hex'), 0, '\\x00'::bytea FROM generate_series(1, 200000) n;
    INSERT INTO cairn.volumes (id, project_id, user_id, size, status, booked, created_at)
    SELECT md5(n::text), 'project-' || n % 1000, 'ann', 1, 'available', TRUE, n FROM generate_series(1, 200000) n;
    INSERT INTO cairn.outbox (id, state, topic, method, arguments, created_at, project_id)
    SELECT md5(n::text), 'acked', 'old', 'old', '{}', n, 'project-' || n % 1000 FROM generate_series(1, 200000) n;
    INSERT INTO cairn.records (project_id, collection, key, value, version, pending_version)
    SELECT 'project-' || n % 1000, 'greetings', 'key-' || n, '{}', n, 0 FROM generate_series(1, 200000) n;
    INSERT INTO cairn.inbox (id, part, project_id, request, created_at, answered_at, answer)
    SELECT decode(md5('r' || n), 'hex'), n % 256, 'project-' || n % 1000, '{}', extract(epoch FROM now()) * 1000, extract(epoch FROM now()) * 1000, '{}'
    FROM generate_series(1, 20000) n;
    ANALYZE;";

struct Run {
    program: Program,
    flow: String,
}

impl Run {
    /// Runs flows that succeed, are refused, and fail; then recovers.
    fn go(&self, end: &str, exit: i32) {
        let requests = [r#"{"size": 1}"#, r#"{"size": 5000000}"#, r#"{"size": 0}"#];
        let mut arguments = vec!["run", &self.flow];
        for request in requests.iter().cycle().take(12) {
            arguments.extend(["--input", request]);
        }
        let done = self.program.run(&arguments);
        assert_eq!(done.exit, exit, "{end}: {}", done.stderr);
        let casts_fail = repository("examples/volume-create/flow-cast-fails.toml");
        let run = ["run", &casts_fail, "--input", r#"{"size": 1}"#];
        self.program.run(&run).exits(3);
        self.program.run(&["recover"]).exits(0);
        self.approval(end);
        // A stream owns every project soon; another process forwards what it asks for.
        let mut stream = Stream::start(&self.program, &[]);
        stream.succeeds();
        let run = ["run", &self.flow, "--input", r#"{"size": 1}"#, "--json"];
        let report = self.program.json(&run);
        assert_eq!(report["flow"]["state"], "SUCCESS", "{report}");
        let ended = stream.end();
        assert_eq!(ended.exit, 0, "{}", ended.stderr);
    }
}

impl Run {
    /// Runs a flow that writes records and waits, and ends it by a signal; another one is rolled back while it waits.
    fn approval(&self, end: &str) {
        let flow = repository("examples/approval/flow.toml");
        let wait = |name: &str| {
            let input = json!({"name": format!("{name} {end}")}).to_string();
            let run = ["run", &flow, "--input", &input, "--no-wait", "--json"];
            let report = self.program.run(&run).exits(5).json();
            report["flow"]["id"].as_str().expect("an id").to_owned()
        };
        let (first, second) = (wait("Ada"), wait("Bob"));
        let signal = [
            "flow",
            "signal",
            &first,
            "approved",
            "--input",
            r#"{"by": "bob"}"#,
        ];
        self.program.run(&signal).exits(0);
        self.program.run(&["flow", "resume", &first]).exits(0);
        self.program.run(&["flow", "rollback", &second]).exits(0);
    }
}

/// Returns the tables that statements of these sessions scanned whole, each with a statement.
fn scans(log: &str, judged: &[&str]) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let entries = log.split('\n').collect::<Vec<_>>();
    let mut is_judged = false;
    let mut text = String::new();
    for line in entries {
        if let Some((application, _)) = line.split_once('|')
            && !line.starts_with('\t')
        {
            is_judged = judged.iter().any(|session| application.ends_with(session));
            text.clear();
            continue;
        }
        if let Some((_, statement)) = line.split_once("Query Text: ") {
            text = statement.to_owned();
        }
        let Some((_, scanned)) = line.split_once("Seq Scan on ") else {
            continue;
        };
        let table = scanned.split_whitespace().next().unwrap_or_default();
        if is_judged && !SMALL.contains(&table) {
            found.insert((table.to_owned(), text.clone()));
        }
    }
    found
}

fn logged(server: &Server, from: usize) -> String {
    server.log().get(from..).unwrap_or_default().to_owned()
}

#[test]
fn no_statement_of_a_flow_scans_a_table_that_grows() {
    let setup = Setup {
        settings: LOG_PLANS.map(str::to_owned).to_vec(),
        ..Setup::default()
    };
    let Some(server) = cairn_test_postgres::own(&setup) else {
        return;
    };
    let database: Database<'_> = server.database();
    let program = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
    let more = format!("[quota]\nvolumes = 100\n[records.greetings]\nmax_keys = 10000\n{DELIVER}");
    program
        .write_secret("key", "secret\n")
        .write("cairn.toml", database.settings(&more));
    let run = Run {
        program,
        flow: volume_create(),
    };
    run.go("on empty tables", 3);
    let log = logged(&server, 0);
    assert!(log.contains("Index Scan using"), "no plans were logged");
    for part in SEEN {
        assert!(log.contains(part), "no plan of a statement with `{part}`");
    }
    for session in [BY_KEY, BESIDE].concat() {
        assert!(log.contains(&format!("{session}|")), "no plan of {session}");
    }
    assert_eq!(scans(&log, BY_KEY), BTreeSet::new(), "on empty tables");

    database.sql(FILL);
    let from = server.log().len();
    run.go("on full tables", 3);
    let log = logged(&server, from);
    assert_eq!(scans(&log, BY_KEY), BTreeSet::new(), "on full tables");
    // It may scan tables that have a few rows.
    let mut beside = scans(&log, BESIDE);
    beside.retain(|(table, _)| FULL.contains(&&**table));
    assert_eq!(beside, BTreeSet::new(), "on full tables, beside flows");
}
