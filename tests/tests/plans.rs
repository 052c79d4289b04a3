//! The statements of flows find rows by indexes: a plan that scans a table costs nothing while the table is small, and everything later.

use std::collections::BTreeSet;

use acceptance::program::{Program, repository, volume_create};
use cairn_test_postgres::{Database, Server, Setup};

/// Has the server log the plan of each statement, after the name of the session's application.
const LOG_PLANS: [&str; 5] = [
    "session_preload_libraries = 'auto_explain'",
    "auto_explain.log_min_duration = 0",
    "auto_explain.log_nested_statements = on",
    "log_line_prefix = '%a|'",
    "jit = off",
];

/// Tables with a few rows at most, and those that every host keeps whole.
const SMALL: [&str; 9] = [
    "hosts",
    "host_details",
    "partitions",
    "catalogue",
    "schema",
    "facts",
    "quota_classes",
    "volume_types",
    "zones",
];

/// Rows as they are after years of work.
const FILL: &str = "
    INSERT INTO cairn.flows (id, part, name, project_id, user_id, state, created_at, updated_at, entries)
    SELECT decode(md5(n::text), 'hex'), n % 256, 'old', 'project-' || n % 1000, 'ann', 'SUCCESS', n, n, 1
    FROM generate_series(1, 200000) n;
    INSERT INTO cairn.journal (flow, first, entries)
    SELECT decode(md5(n::text), 'hex'), 0, '\\x00'::bytea FROM generate_series(1, 200000) n;
    INSERT INTO cairn.volumes (id, project_id, user_id, size, status, booked, created_at)
    SELECT md5(n::text), 'project-' || n % 1000, 'ann', 1, 'available', TRUE, n FROM generate_series(1, 200000) n;
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
    }
}

/// Returns the tables that statements of flows scanned whole, each with a statement.
fn scans(log: &str) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let entries = log.split('\n').collect::<Vec<_>>();
    let mut of_a_flow = false;
    let mut text = String::new();
    for line in entries {
        if let Some((application, _)) = line.split_once('|')
            && !line.starts_with('\t')
        {
            of_a_flow = ["writer", "fetcher"]
                .iter()
                .any(|session| application.ends_with(session));
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
        if of_a_flow && !SMALL.contains(&table) {
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
    let settings = format!(
        "db = \"{}\"\n\n[postgres]\nunsafe_server = true\n",
        database.url()
    );
    program.write("cairn.toml", settings);
    let run = Run {
        program,
        flow: volume_create(),
    };
    run.go("on empty tables", 3);
    let log = logged(&server, 0);
    assert!(
        log.contains("writer|") && log.contains("Index Scan using"),
        "no plans were logged"
    );
    assert_eq!(scans(&log), BTreeSet::new(), "on empty tables");

    database.sql(FILL);
    let from = server.log().len();
    run.go("on full tables", 3);
    assert_eq!(
        scans(&logged(&server, from)),
        BTreeSet::new(),
        "on full tables"
    );
}
