//! Lists of flows, and counts of them: what they hold, and how long they take with a million flows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_effects::event::{FlowState, FlowSummary, NEVER};
use cairn_model::clock::{ManualClock, Timestamp};
use cairn_model::id::{FlowId, Identity};
use cairn_model::status::StatusLimits;
#[cfg(feature = "postgres")]
use cairn_store::postgres::{Postgres, PostgresConfig, PostgresUrl};
use cairn_store::view::{FlowFilter, Reader, View};
use cairn_store::{Sqlite, SqliteConfig};

/// The time of every test.
const NOW: Timestamp = Timestamp(1_796_000_000_000_000);

const HOUR: Duration = Duration::from_secs(3600);

/// The values of flow `i` of `all` as SQL, by column. A tenth of the flows is of the last hour, the others of the 30 days before.
fn columns(all: i64) -> [(&'static str, String); 14] {
    let (old, new) = (all - all / 10, all / 10);
    let millis = format!(
        "(CASE WHEN i < {old} THEN {begin} + i * {month} / {old} ELSE {begin} + {month} + (i - {old}) * 3600000 / {new} END)",
        month = 30 * 24 * 3_600_000_i64,
        begin = NOW.0 / 1000 - 3_600_000 - 30 * 24 * 3_600_000_i64,
    );
    let state = "(CASE WHEN i % 1000 IN (7, 8) THEN 'RUNNING' WHEN i % 5000 = 9 THEN 'INTERRUPTED' WHEN i % 5000 = 10 THEN 'REVERTING' \
                 WHEN i % 20 = 0 THEN 'FAILURE' ELSE 'SUCCESS' END)";
    let took = "(CASE WHEN i % 100 = 3 THEN 1500000 + i % 7 * 60000000 ELSE i % 900 * 1000 END)";
    let error = "(CASE WHEN i % 20 = 0 THEN 'Error' || CAST(i % 3 AS text) END)";
    [
        ("id", format!("ID({millis})")),
        (
            "name",
            "(CASE WHEN i % 10 = 0 THEN 'nightly-' || CAST(i % 50 AS text) ELSE 'create' END)"
                .to_owned(),
        ),
        (
            "project_id",
            "'p' || CAST((CASE WHEN i % 3 = 0 THEN i % 200 ELSE 0 END) AS text)".to_owned(),
        ),
        ("user_id", "'u' || CAST(i % 1000 AS text)".to_owned()),
        (
            "plan",
            "'0000000000000000000000000000000000000000000000000000000000000000'".to_owned(),
        ),
        ("state", state.to_owned()),
        ("error", error.to_owned()),
        ("created_at", format!("{millis} * 1000")),
        ("updated_at", format!("{millis} * 1000 + {took}")),
        ("entries", "12".to_owned()),
        ("incomplete", "i % 10000 = 20".to_owned()),
        (
            "stuck",
            "(CASE WHEN i % 50000 = 5 THEN 'why' END)".to_owned(),
        ),
        (
            "wake_at",
            format!("(CASE WHEN i % 1000 = 7 THEN {} END)", NEVER.0),
        ),
        ("forward", "i % 25000 = 8".to_owned()),
    ]
}

/// Returns the statement that adds `all` flows from the rows `i` of `numbers`.
fn insert(all: i64, numbers: &str, id: &str, more: (&str, &str)) -> String {
    let columns = columns(all);
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let values: Vec<String> = columns
        .iter()
        .map(|(_, value)| match value.strip_prefix("ID") {
            Some(millis) => id.replace('@', millis),
            None => value.clone(),
        })
        .collect();
    format!(
        "INSERT INTO flows ({}{}) SELECT {}{} FROM {numbers}",
        names.join(", "),
        more.0,
        values.join(", "),
        more.1
    )
}

/// Fills a database in a file, and opens it for reading.
fn in_file(folder: &tempfile::TempDir, all: i64) -> Reader {
    let path = folder.path().join("cairn.db");
    let clock = Arc::new(ManualClock::new(NOW));
    drop(Sqlite::open(&path, SqliteConfig::default(), clock.clone()).expect("it is made"));
    let connection = rusqlite::Connection::open(&path).expect("it is there");
    let numbers = format!(
        "(WITH RECURSIVE numbers(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i < {}) SELECT i FROM numbers)",
        all - 1
    );
    let id = "unhex(printf('%012x70008000%012x', @, i))";
    let insert = insert(all, &numbers, id, ("", ""));
    connection.execute_batch(&insert).expect("flows are added");
    drop(connection);
    Reader::open(&path, SqliteConfig::default(), clock).expect("it can be read")
}

/// Fills a database on a server, and connects to it for reading.
#[cfg(feature = "postgres")]
fn on_server(
    server: &cairn_test_postgres::Server,
    database: &cairn_test_postgres::Database<'_>,
    all: i64,
) -> Reader {
    let config = PostgresConfig {
        unsafe_server: true,
        ..PostgresConfig::new(PostgresUrl::parse(&database.url()).expect("a URL"))
    };
    let clock = Arc::new(ManualClock::new(NOW));
    drop(Postgres::open(&config, clock.clone()).expect("it is made"));
    let numbers = format!(
        "(SELECT generate_series(0::bigint, {})) AS numbers(i)",
        all - 1
    );
    let id = "decode(lpad(to_hex(@), 12, '0') || '70008000' || lpad(to_hex(i), 12, '0'), 'hex')";
    let insert = insert(all, &numbers, id, (", part", ", 0"));
    let statement = format!("SET search_path = cairn; {insert}; ANALYZE flows");
    server.sql(database.name(), &statement);
    Reader::connect(&config, clock).expect("it can be read")
}

/// Filters of lists, with the names of what they ask for.
fn filters() -> Vec<(&'static str, FlowFilter<'static>)> {
    let all = FlowFilter::default();
    let of = |state| FlowFilter {
        state: Some(state),
        ..all
    };
    let in_p3 = FlowFilter {
        project: Some("p3"),
        ..all
    };
    let unfinished = FlowFilter {
        unfinished: true,
        ..all
    };
    let error = FlowFilter {
        error: Some("Error1"),
        ..all
    };
    let longer = |seconds| FlowFilter {
        longer_than: Some(Duration::from_secs(seconds)),
        ..all
    };
    let since = |ago| FlowFilter {
        since: Some(NOW.before(ago)),
        ..all
    };
    vec![
        ("all", all),
        ("SUCCESS", of(FlowState::Success)),
        ("FAILURE", of(FlowState::Failure)),
        ("INTERRUPTED", of(FlowState::Interrupted)),
        ("STARTED", of(FlowState::Started)),
        ("unfinished", unfinished),
        (
            "unfinished SUCCESS",
            FlowFilter {
                unfinished: true,
                ..of(FlowState::Success)
            },
        ),
        (
            "unfinished RUNNING",
            FlowFilter {
                unfinished: true,
                ..of(FlowState::Running)
            },
        ),
        ("stuck", FlowFilter { stuck: true, ..all }),
        (
            "stuck and FAILURE",
            FlowFilter {
                stuck: true,
                ..of(FlowState::Failure)
            },
        ),
        (
            "incomplete",
            FlowFilter {
                incomplete: true,
                ..all
            },
        ),
        (
            "forward",
            FlowFilter {
                forward: true,
                ..all
            },
        ),
        (
            "waiting",
            FlowFilter {
                asleep: true,
                ..all
            },
        ),
        (
            "waiting in a project",
            FlowFilter {
                asleep: true,
                ..in_p3
            },
        ),
        ("project", in_p3),
        (
            "project and FAILURE",
            FlowFilter {
                project: Some("p3"),
                ..of(FlowState::Failure)
            },
        ),
        (
            "project and unfinished",
            FlowFilter {
                project: Some("p3"),
                ..unfinished
            },
        ),
        (
            "project and error",
            FlowFilter {
                project: Some("p3"),
                ..error
            },
        ),
        (
            "no project",
            FlowFilter {
                project: Some("none"),
                ..all
            },
        ),
        ("error", error),
        (
            "error and user",
            FlowFilter {
                user: Some("u40"),
                ..error
            },
        ),
        (
            "no error",
            FlowFilter {
                error: Some("None"),
                ..all
            },
        ),
        (
            "error and INTERRUPTED",
            FlowFilter {
                error: Some("Error1"),
                ..of(FlowState::Interrupted)
            },
        ),
        (
            "name",
            FlowFilter {
                name: Some("nightly-10"),
                ..all
            },
        ),
        (
            "no name",
            FlowFilter {
                name: Some("none"),
                ..all
            },
        ),
        (
            "name and unfinished",
            FlowFilter {
                name: Some("create"),
                ..unfinished
            },
        ),
        (
            "user",
            FlowFilter {
                user: Some("u11"),
                ..all
            },
        ),
        (
            "user in a project",
            FlowFilter {
                user: Some("u3"),
                ..in_p3
            },
        ),
        (
            "no user",
            FlowFilter {
                user: Some("none"),
                ..all
            },
        ),
        (
            "longer than 0.5 s",
            FlowFilter {
                longer_than: Some(Duration::from_millis(500)),
                ..all
            },
        ),
        ("longer than 100 s", longer(100)),
        (
            "longer than 100 s, SUCCESS",
            FlowFilter {
                state: Some(FlowState::Success),
                ..longer(100)
            },
        ),
        (
            "longer than 100 s, unfinished",
            FlowFilter {
                unfinished: true,
                ..longer(100)
            },
        ),
        (
            "longer than 100 s in a project",
            FlowFilter {
                project: Some("p3"),
                ..longer(100)
            },
        ),
        (
            "longer than 100 s, error",
            FlowFilter {
                error: Some("Error1"),
                ..longer(100)
            },
        ),
        ("longer than 2 h", longer(7200)),
        ("since 1 h", since(HOUR)),
        ("since 1 s", since(Duration::from_secs(1))),
        (
            "since 1 h and FAILURE",
            FlowFilter {
                state: Some(FlowState::Failure),
                ..since(HOUR)
            },
        ),
        (
            "before",
            FlowFilter {
                before: Some(FlowId::least_at(NOW.before(HOUR * 24))),
                ..all
            },
        ),
        (
            "before in a project",
            FlowFilter {
                before: Some(FlowId::least_at(NOW.before(HOUR * 24))),
                ..in_p3
            },
        ),
        (
            "ids",
            FlowFilter {
                ids: Some((
                    FlowId::least_at(NOW.before(HOUR)),
                    FlowId::least_at(NOW.before(HOUR / 2)),
                )),
                ..all
            },
        ),
        (
            "key",
            FlowFilter {
                key: Some("none"),
                ..all
            },
        ),
    ]
}

/// Returns whether a flow is one that the filter asks for, as the filter says it in words.
fn is_asked_for(flow: &FlowSummary, filter: &FlowFilter<'_>) -> bool {
    let has_ended = matches!(flow.state, FlowState::Success | FlowState::Failure);
    let is = |wanted: Option<&str>, value: &str| wanted.is_none_or(|wanted| wanted == value);
    filter.state.is_none_or(|state| flow.state == state)
        && (!filter.unfinished || !has_ended)
        && (!filter.stuck || flow.stuck.is_some())
        && (!filter.incomplete || flow.incomplete)
        && (!filter.forward || flow.forward)
        && (!filter.asleep || flow.wake_at.is_some())
        && is(filter.project, &flow.project_id)
        && is(filter.name, &flow.name)
        && is(filter.user, &flow.user_id)
        && filter
            .error
            .is_none_or(|error| flow.error.as_deref() == Some(error))
        && filter.longer_than.is_none_or(|longer| match has_ended {
            true => flow.updated_at.since(flow.created_at) > longer,
            false => NOW.since(flow.created_at) > longer,
        })
        && filter.since.is_none_or(|since| flow.created_at >= since)
        && filter.before.is_none_or(|before| flow.id < before)
        && filter
            .ids
            .is_none_or(|(lowest, highest)| (lowest..=highest).contains(&flow.id))
        && filter.key.is_none()
}

/// Compares the list and the pages of each filter with what is asked for.
fn compare(reader: &Reader) {
    let operator = Identity::new("ann", "p0").into_admin();
    let view = reader.view(&operator);
    let all = view
        .flows(FlowFilter::default(), usize::MAX)
        .expect("flows");
    for (asked, filter) in filters() {
        let expected: Vec<&FlowSummary> = all
            .iter()
            .filter(|flow| is_asked_for(flow, &filter))
            .collect();
        let listed = view.flows(filter, usize::MAX).expect("a list");
        assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "{asked}");
        let limited = view.flows(filter, 7).expect("a list");
        let first = &expected[..expected.len().min(7)];
        assert_eq!(limited.iter().collect::<Vec<_>>(), first, "{asked}");

        let (mut paged, mut filter, mut pages) = (Vec::new(), filter, 0);
        loop {
            let page = view.flow_page(filter, 900).expect("a page");
            assert!(page.flows.len() <= 900, "{asked}");
            paged.extend(page.flows);
            pages += 1;
            match page.next {
                Some(next) => filter.before = Some(next),
                None => break,
            }
        }
        assert_eq!(paged.iter().collect::<Vec<_>>(), expected, "{asked}");
        assert!(
            pages <= 10 + expected.len() / 900 + all.len() / 5_000,
            "{asked}: {pages} pages"
        );
    }
    count(&view, &all);
}

/// Compares the counts with what there is.
fn count(view: &View<'_>, all: &[FlowSummary]) {
    for (project, since) in [
        (None, None),
        (None, Some(NOW.before(HOUR))),
        (Some("p3"), None),
        (Some("p3"), Some(NOW.before(HOUR))),
    ] {
        let least = FlowId::least_at(since.unwrap_or(Timestamp::EARLIEST));
        let of_project =
            |flow: &&FlowSummary| project.is_none_or(|project| flow.project_id == project);
        let counted = || {
            all.iter()
                .filter(of_project)
                .filter(|flow| flow.id >= least)
        };
        let counts = view.flow_counts(project, since).expect("counts");
        assert_eq!(counts.total(), counted().count() as u64);
        for state in FlowState::ALL {
            let flows = counted().filter(|flow| flow.state == state).count();
            assert_eq!(
                counts.of(state),
                flows as u64,
                "{state} of {project:?} since {since:?}"
            );
        }
        let since = NOW.before(HOUR);
        let failed = all
            .iter()
            .filter(of_project)
            .filter(|flow| flow.id >= FlowId::least_at(since) && flow.state == FlowState::Failure);
        let errors = view.error_counts(project, since, 10).expect("errors");
        let sum: u64 = errors.iter().map(|error| error.flows).sum();
        assert_eq!(sum, failed.count() as u64, "{project:?}");
        assert!(errors.windows(2).all(|two| two[0].flows >= two[1].flows));
    }
}

#[test]
fn a_list_has_the_flows_that_are_asked_for_in_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    compare(&in_file(&folder, 45_000));
}

#[test]
#[cfg(feature = "postgres")]
fn a_list_has_the_flows_that_are_asked_for_on_a_server() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let database = server.database();
    compare(&on_server(server, &database, 45_000));
}

#[test]
fn counts_of_a_member_are_those_of_the_own_project() {
    let folder = tempfile::tempdir().expect("a folder");
    let reader = in_file(&folder, 1000);
    let (member, operator) = (
        Identity::new("ann", "p3"),
        Identity::new("ann", "p3").into_admin(),
    );
    let own = reader
        .view(&operator)
        .flow_counts(Some("p3"), None)
        .expect("counts");
    assert!(own.total() > 0);
    for project in [None, Some("p0"), Some("p3")] {
        let counts = reader
            .view(&member)
            .flow_counts(project, None)
            .expect("counts");
        assert_eq!(counts, own);
    }
    let status = reader.view(&member).status(&StatusLimits::default());
    assert!(status.is_err(), "the status is for admins");
}

/// Prints how long a page of 50 flows takes by each filter, and the status and the counts: the median of nine.
fn measure(reader: &Reader) {
    fn median(mut run: impl FnMut()) -> Duration {
        let mut times: Vec<Duration> = (0..9)
            .map(|_| {
                let begun = Instant::now();
                run();
                begun.elapsed()
            })
            .collect();
        times.sort();
        times[4]
    }
    let operator = Identity::new("ann", "p0").into_admin();
    let view = reader.view(&operator);
    for (asked, filter) in filters() {
        let time = median(|| drop(view.flow_page(filter, 50).expect("a page")));
        println!("{time:>12.2?}  page: {asked}");
    }
    let limits = StatusLimits::default();
    let time = median(|| drop(view.status(&limits).expect("a status")));
    println!("{time:>12.2?}  status");
    for (what, project, since) in [
        ("all", None, None),
        ("the last hour", None, Some(NOW.before(HOUR))),
        ("a project", Some("p3"), None),
        ("the largest project", Some("p0"), None),
        (
            "the largest project, the last hour",
            Some("p0"),
            Some(NOW.before(HOUR)),
        ),
    ] {
        let time = median(|| drop(view.flow_counts(project, since).expect("counts")));
        println!("{time:>12.2?}  counts: {what}");
    }
}

#[test]
#[ignore = "measures a million flows: a minute, and 400 MiB of disk"]
fn lists_of_a_million_flows_in_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    measure(&in_file(&folder, 1_000_000));
}

#[test]
#[cfg(feature = "postgres")]
#[ignore = "measures a million flows: a minute, and 600 MiB of disk"]
fn lists_of_a_million_flows_on_a_server() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let database = server.database();
    measure(&on_server(server, &database, 1_000_000));
}
