//! What is removed from the inbox when it is tidied, and how it is found.

use std::sync::Arc;
use std::time::Duration;

use cairn_effects::rows::Cell;
use cairn_model::clock::{Clock as _, SystemClock};
use cairn_model::id::FlowId;
use cairn_test_postgres::Database;

use super::{config, link_as};
use crate::operators::on_disk;
use crate::postgres::inbox::{TIDY_ANSWERED, TIDY_WRITTEN, id_after};
use crate::postgres::link::{INBOX, WATCHER};
use crate::postgres::{Postgres, SqlLink, open};
use crate::shared::Shared as _;
use crate::sql::Sql as _;

/// Longer than an answer is kept.
const LONG: Duration = Duration::from_secs(2 * 3600);

/// Adds a request that was made so long ago, with its flow and an answer if it has them.
fn request(database: &Database<'_>, age: Duration, has_flow: bool, is_answered: bool) {
    let made = SystemClock.now().before(age);
    let Cell::Blob(id) = id_after(made) else {
        panic!("an id is bytes");
    };
    let mut id = id.to_vec();
    // What the id is besides its time.
    id[15] = u8::from(has_flow) * 2 + u8::from(is_answered);
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let made = made.0;
    let answer = match is_answered {
        true => format!("{made}, '{{}}'"),
        false => "NULL, NULL".to_owned(),
    };
    database.sql(&format!(
        "INSERT INTO cairn.inbox (id, part, project_id, request, created_at, answered_at, answer)
             VALUES ('\\x{id}', 0, 'acme', '{{}}', {made}, {answer})"
    ));
    if has_flow {
        database.sql(&format!(
            "INSERT INTO cairn.flows (id, part, name, project_id, user_id, state, created_at, updated_at)
                 VALUES ('\\x{id}', 0, 'f', 'acme', 'ann', 'SUCCESS', {made}, {made})"
        ));
    }
}

#[test]
fn old_answers_and_old_requests_with_a_flow_are_removed_and_no_others() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let database = server.database();
    let store = Postgres::open(&config(&database.url()), Arc::new(SystemClock)).unwrap();
    for age in [LONG, Duration::ZERO] {
        for (has_flow, is_answered) in [(false, false), (true, false), (false, true)] {
            request(&database, age, has_flow, is_answered);
        }
    }
    store.inbox().unwrap().tidy().unwrap();
    let left = |condition: &str| {
        database.sql(&format!(
            "SELECT count(*) FROM cairn.inbox WHERE {condition}"
        ))
    };
    let old = SystemClock.now().before(LONG / 2).0;
    assert_eq!(left(&format!("created_at >= {old}")), "3");
    assert_eq!(left(&format!("created_at < {old} AND answer IS NULL")), "1");
    assert_eq!(left("TRUE"), "4");
}

#[test]
fn what_is_old_is_found_by_indexes() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let database = server.database();
    drop(open(&config(&database.url())).unwrap());
    let mut link = link_as(&database.url(), &INBOX);
    for (statement, condition) in [
        (TIDY_ANSWERED, "Index Cond: (answered_at < "),
        (TIDY_WRITTEN, "Index Cond: (id < "),
    ] {
        let statement = statement.replace("$1", "7").replace("$2", "'\\x07'");
        let plan = link.run(&format!("EXPLAIN {statement}"), &[]).unwrap();
        let lines = plan.rows.iter().flatten().map(|cell| match cell {
            Cell::Text(line) => line.to_string(),
            other => panic!("{other:?}"),
        });
        let plan: Vec<String> = lines.collect();
        let plan = plan.join("\n");
        assert!(
            plan.contains(condition) && !plan.contains("Seq Scan"),
            "{plan}"
        );
    }
}

#[test]
fn what_is_read_of_several_flows_together_is_found_by_keys() {
    let Some(server) = cairn_test_postgres::shared() else {
        return;
    };
    let database = server.database();
    drop(open(&config(&database.url())).unwrap());
    let sql = SqlLink::new(link_as(&database.url(), &WATCHER));
    let flows = [FlowId::new(), FlowId::new()];
    assert!(on_disk::together(&sql, &flows).unwrap().is_empty());
    let statement = (1..=32).rev().fold(on_disk::PAGE.clone(), |text, at| {
        text.replace(&format!("${at}"), "'\\x07'")
    });
    let plan = sql.query(&format!("EXPLAIN {statement}"), &[]).unwrap();
    let plan = format!("{plan:?}");
    assert!(
        plan.contains("Index Cond: (id = ANY") && !plan.contains("Seq Scan"),
        "{plan}"
    );
}
