//! A link as portable SQL uses it.

use cairn_effects::rows::Cell;

use super::{link_as, new_link};
use crate::postgres::SqlLink;
use crate::postgres::link::{READER, Step};
use crate::sql::{Impact, Sql};

fn int(number: i64) -> Cell {
    Cell::Int(number)
}

const COUNT: &str = "SELECT COUNT(*) FROM t";

/// A link to a new database with the table `t`.
fn new_sql() -> Option<(cairn_test_postgres::Database<'static>, SqlLink)> {
    let (database, link) = new_link()?;
    database.sql("CREATE SCHEMA cairn; CREATE TABLE cairn.t (id bigint PRIMARY KEY, name text)");
    Some((database, SqlLink::new(link)))
}

#[test]
fn statements_are_run_outside_of_a_transaction_and_in_one() {
    let Some((database, sql)) = new_sql() else {
        return;
    };
    for (id, is_open) in [(1, false), (2, true)] {
        if is_open {
            sql.begin(&[Step::Script("BEGIN")]).unwrap();
        }
        let row = [int(id), Cell::from("a")];
        let insert = "INSERT INTO t VALUES ($1, $2)";
        assert_eq!(sql.execute(insert, &row).unwrap(), 1);
        let rename = "UPDATE t SET name = $1 WHERE id = $2 RETURNING name";
        let renamed = sql.returning(rename, &[Cell::from("b"), int(id)]).unwrap();
        assert_eq!(renamed, [[Cell::from("b")]]);
        assert_eq!(sql.query(COUNT, &[]).unwrap(), [[int(id)]]);
        if is_open {
            assert_eq!(database.sql("SELECT count(*) FROM cairn.t"), "1");
            sql.commit(&[]).unwrap();
        }
        assert_eq!(database.sql("SELECT count(*) FROM cairn.t"), id.to_string());
    }
    sql.begin(&[Step::Script("BEGIN")]).unwrap();
    sql.execute("DELETE FROM t", &[]).unwrap();
    sql.roll_back();
    assert!(!sql.is_in_transaction());
    assert_eq!(database.sql("SELECT count(*) FROM cairn.t"), "2");
}

#[test]
fn a_statement_that_fails_changes_nothing_and_the_transaction_goes_on() {
    let Some((database, sql)) = new_sql() else {
        return;
    };
    for is_open in [false, true] {
        if is_open {
            sql.begin(&[Step::Script("BEGIN")]).unwrap();
        }
        sql.execute("INSERT INTO t VALUES (7) ON CONFLICT DO NOTHING", &[])
            .unwrap();
        for (wrong, parameters) in [
            ("INSERT INTO t VALUES (8), (7)", vec![]),
            ("SELEC 1", vec![]),
            ("INSERT INTO t VALUES ($1)", vec![]),
            ("INSERT INTO t VALUES ($1)", vec![Cell::from("x")]),
            ("INSERT INTO t VALUES (9, $1)", vec![Cell::from("a\0")]),
        ] {
            let error = sql.execute(wrong, &parameters).unwrap_err();
            assert_eq!(error.impact, Impact::None, "{wrong}: {error}");
        }
        for wrong in ["SELEC 1", "SELECT 1.5", "SELECT 1 / 0"] {
            let error = sql.query(wrong, &[]).unwrap_err();
            assert_eq!(error.impact, Impact::None, "{wrong}: {error}");
        }
        assert_eq!(sql.query(COUNT, &[]).unwrap(), [[int(1)]]);
        if is_open {
            sql.commit(&[]).unwrap();
        }
    }
    assert_eq!(database.sql("SELECT id FROM cairn.t"), "7");
}

#[test]
fn a_read_that_writes_is_refused_and_the_transaction_may_write_on() {
    let Some((database, sql)) = new_sql() else {
        return;
    };
    let disguised = "WITH w AS (INSERT INTO t VALUES (1) RETURNING id) SELECT id FROM w";
    for is_open in [false, true] {
        if is_open {
            sql.begin(&[Step::Script("BEGIN")]).unwrap();
        }
        for writes in [disguised, "DELETE FROM t"] {
            let error = sql.query(writes, &[]).unwrap_err();
            assert_eq!(error.impact, Impact::None);
            assert!(error.message.contains("cannot be used to read"), "{error}");
        }
    }
    sql.execute("INSERT INTO t VALUES (2)", &[]).unwrap();
    sql.commit(&[]).unwrap();
    assert_eq!(database.sql("SELECT id FROM cairn.t"), "2");
}

#[test]
fn several_reads_are_of_one_state() {
    let Some((database, sql)) = new_sql() else {
        return;
    };
    let mut counts = Vec::new();
    sql.consistently(&mut || {
        counts.push(sql.query(COUNT, &[]).unwrap());
        database.sql("INSERT INTO cairn.t VALUES (1)");
        counts.push(sql.query(COUNT, &[]).unwrap());
    })
    .unwrap();
    assert_eq!(counts, [[[int(0)]], [[int(0)]]]);
    assert_eq!(sql.query(COUNT, &[]).unwrap(), [[int(1)]]);
    // Also after a panic no transaction is left open.
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        sql.consistently(&mut || panic!("a bug"))
    }));
    assert!(panicked.is_err());
    assert!(!sql.is_in_transaction());
    database.sql("INSERT INTO cairn.t VALUES (2)");
    assert_eq!(sql.query(COUNT, &[]).unwrap(), [[int(2)]]);
}

#[test]
fn a_read_survives_the_end_of_its_session_and_a_transaction_does_not() {
    let Some((database, sql)) = new_sql() else {
        return;
    };
    let end_sessions = || {
        database.sql(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name LIKE 'cairn%'",
        )
    };
    end_sessions();
    assert_eq!(sql.query(COUNT, &[]).unwrap(), [[int(0)]]);
    let reader = SqlLink::new(link_as(&database.url(), &READER));
    end_sessions();
    assert_eq!(reader.query(COUNT, &[]).unwrap(), [[int(0)]]);

    sql.query(COUNT, &[]).unwrap();
    sql.begin(&[Step::Script("BEGIN")]).unwrap();
    sql.execute("INSERT INTO t VALUES (1)", &[]).unwrap();
    end_sessions();
    let error = sql.execute("INSERT INTO t VALUES (2)", &[]).unwrap_err();
    assert_eq!(error.impact, Impact::Lost);
    sql.roll_back();
    sql.execute("INSERT INTO t VALUES (3)", &[]).unwrap();
    assert_eq!(database.sql("SELECT id FROM cairn.t"), "3");
}

#[test]
fn tables_and_columns_are_listed() {
    let Some((database, sql)) = new_sql() else {
        return;
    };
    database.sql(
        "CREATE TABLE cairn.\"B\" (z bigint, a bigint, gone bigint); ALTER TABLE cairn.\"B\" DROP gone; CREATE TABLE public.u ()",
    );
    assert_eq!(sql.tables().unwrap(), ["B", "t"]);
    assert_eq!(sql.columns("B").unwrap(), ["z", "a"]);
    assert!(sql.columns("u").unwrap().is_empty());
}
