use std::time::{Duration, Instant};

use cairn_effects::rows::{Cell, CellRef};

use super::{link_as, new_link};
use crate::postgres::link::{Answer, Link, LinkError, Parameter, READER, Step};

fn int(number: i64) -> Cell {
    Cell::Int(number)
}

fn blob(bytes: &[u8]) -> Cell {
    Cell::Blob(bytes.into())
}

/// The only cell of the only row.
fn one(answer: Answer) -> Cell {
    let [row] = <[_; 1]>::try_from(answer.rows).unwrap();
    let [cell] = <[_; 1]>::try_from(row).unwrap();
    cell
}

fn select(link: &mut Link, sql: &str) -> Cell {
    one(link.run(sql, &[]).unwrap())
}

#[test]
fn every_cell_is_read_as_it_was_written() {
    let Some((_database, mut link)) = new_link() else {
        return;
    };
    let large = "ä€𝄞\u{1}\t\n'\"\\".repeat(200_000);
    let bytes: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
    let cells = [
        ("bigint", int(i64::MIN)),
        ("bigint", int(i64::MAX)),
        ("int", int(-7)),
        ("smallint", int(-32_768)),
        ("oid", int(4_294_967_295)),
        ("boolean", int(1)),
        ("boolean", int(0)),
        ("text", Cell::from("")),
        ("text", Cell::from(&*large)),
        ("varchar", Cell::from("\u{10ffff}")),
        ("bytea", blob(&[])),
        ("bytea", blob(&bytes)),
        ("uuid", blob(&[7; 16])),
        ("timestamptz", int(1_790_000_000_123_456)),
        ("text", Cell::Null),
        ("bigint", Cell::Null),
        ("bytea", Cell::Null),
    ];
    for (kind, cell) in cells {
        let found = link.run(&format!("SELECT $1::{kind}"), std::slice::from_ref(&cell));
        assert!(one(found.unwrap()) == cell, "{kind}");
        // The same as an element of an array, beside one that is NULL.
        let elements = [&cell, &Cell::Null, &cell].map(Cell::borrow).to_vec();
        let statement = format!("SELECT * FROM unnest($1::{kind}[])");
        let step = Step::Run {
            statement: &statement,
            parameters: vec![Parameter::Array(elements)],
        };
        let rows = link.send(&[step]).unwrap().remove(0).rows;
        assert!(
            rows == [vec![cell.clone()], vec![Cell::Null], vec![cell]],
            "{kind}"
        );
    }
}

#[test]
fn the_server_takes_a_cell_for_what_it_is() {
    let Some((_database, mut link)) = new_link() else {
        return;
    };
    let seen = "SELECT ($1::bigint + 1)::text || $2::text || encode($3::bytea, 'hex') || extract(epoch FROM $4::timestamptz)::bigint";
    let cells = [
        int(41),
        Cell::from("ä"),
        blob(&[0, 255]),
        int(86_400_000_000),
    ];
    let found = link.run(seen, &cells).unwrap();
    assert_eq!(one(found), Cell::from("42ä00ff86400"));
    let empty = Step::Run {
        statement: "SELECT cardinality($1::bigint[])",
        parameters: vec![Parameter::Array(Vec::new())],
    };
    assert_eq!(one(link.send(&[empty]).unwrap().remove(0)), int(0));
}

#[test]
fn sums_are_numbers_and_fractions_are_refused() {
    let Some((_database, mut link)) = new_link() else {
        return;
    };
    for number in [
        0,
        1,
        -1,
        9_999,
        10_000,
        -120_000_000,
        1 << 53,
        i64::MAX,
        i64::MIN,
    ] {
        let sum = format!("SELECT sum(n) FROM (VALUES ('{number}'::bigint)) AS v(n)");
        assert_eq!(select(&mut link, &sum), int(number));
    }
    for wrong in [
        "1.5::numeric",
        "'NaN'::numeric",
        "9223372036854775808::numeric",
        "1.5::float8",
    ] {
        let found = link.run(&format!("SELECT {wrong}"), &[]).unwrap_err();
        assert!(
            matches!(found, LinkError::Unreadable(_)),
            "{wrong}: {found}"
        );
    }
    // The link is as good as before.
    assert_eq!(select(&mut link, "SELECT 2::numeric(5, 2)"), int(2));
}

#[test]
fn a_text_with_nul_is_refused_before_anything_is_sent() {
    let Some((database, mut link)) = new_link() else {
        return;
    };
    database.sql("CREATE TABLE public.t (a text)");
    let insert = |text: &'static str| Step::Run {
        statement: "INSERT INTO public.t SELECT * FROM unnest($1::text[])",
        parameters: vec![Parameter::Array(vec![CellRef::Text(text)])],
    };
    let refused = link.send(&[insert("first"), insert("a\0b")]).unwrap_err();
    assert!(matches!(&refused, LinkError::Unfit(why) if why.contains("NUL")));
    assert_eq!(database.sql("SELECT count(*) FROM public.t"), "0");
    let refused = link.run("SELECT '\0'", &[]).unwrap_err();
    assert!(matches!(&refused, LinkError::Unfit(why) if why.contains("NUL")));
    link.send(&[insert("last")]).unwrap();
    assert_eq!(database.sql("SELECT a FROM public.t"), "last");
}

#[test]
fn many_statements_are_answered_in_order_and_as_one_transaction() {
    let Some((database, mut link)) = new_link() else {
        return;
    };
    database.sql("CREATE TABLE public.n (id bigint PRIMARY KEY)");
    let insert = |id: i64| Step::Run {
        statement: "INSERT INTO public.n VALUES ($1) RETURNING id",
        parameters: vec![Parameter::Cell(CellRef::Int(id))],
    };
    let mut steps = vec![Step::Script("BEGIN")];
    steps.extend((0..500).map(insert));
    steps.push(Step::Commit);
    let answers = link.send(&steps).unwrap();
    let ids: Vec<_> = answers.into_iter().flat_map(|answer| answer.rows).collect();
    assert!(ids.into_iter().flatten().eq((0..500).map(int)));

    // The second one fails, and nothing of the transaction is left.
    let steps = [
        Step::Script("BEGIN"),
        insert(1000),
        insert(7),
        insert(1001),
        Step::Commit,
    ];
    let failed = link.send(&steps).unwrap_err();
    assert_eq!(failed.code(), Some("23505"));
    assert_eq!(database.sql("SELECT count(*) FROM public.n"), "500");
    assert!(link.is_connected());
    link.send(&[Step::Script("BEGIN"), insert(1000), Step::Commit])
        .unwrap();
    assert_eq!(database.sql("SELECT count(*) FROM public.n"), "501");
}

#[test]
fn more_statements_than_are_kept_can_be_run_and_rerun() {
    let Some((_database, mut link)) = new_link() else {
        return;
    };
    for _ in 0..2 {
        for number in 0..400 {
            assert_eq!(
                select(&mut link, &format!("SELECT {number}::bigint")),
                int(number)
            );
        }
    }
    let kept = select(&mut link, "SELECT count(*) FROM pg_prepared_statements");
    assert!(matches!(kept, Cell::Int(200..=258)), "{kept:?}");
}

#[test]
fn a_statement_is_prepared_again_after_its_table_changed() {
    let Some((database, mut link)) = new_link() else {
        return;
    };
    database.sql("CREATE TABLE public.t (a bigint); INSERT INTO public.t VALUES (1)");
    let all = "SELECT * FROM public.t";
    assert_eq!(link.run(all, &[]).unwrap().rows, [[int(1)]]);
    database.sql("ALTER TABLE public.t ADD b bigint DEFAULT 2");
    assert_eq!(link.run(all, &[]).unwrap_err().code(), Some("0A000"));
    assert_eq!(link.run(all, &[]).unwrap().rows, [[int(1), int(2)]]);
}

#[test]
fn a_session_that_was_ended_is_noticed_and_replaced() {
    let Some((database, mut link)) = new_link() else {
        return;
    };
    let session = "SELECT pg_backend_pid()";
    let Cell::Int(first) = select(&mut link, session) else {
        panic!("no pid");
    };
    database.sql(&format!("SELECT pg_terminate_backend({first}, 5000)"));
    let lost = link.run(session, &[]).unwrap_err();
    assert!(matches!(lost, LinkError::Lost(_)), "{lost:?}");
    assert!(!link.is_connected());
    assert!(matches!(link.run(session, &[]), Err(LinkError::Lost(_))));
    link.reconnect().unwrap();
    assert!(link.is_connected());
    assert_ne!(select(&mut link, session), int(first));
}

#[test]
fn a_session_that_is_ended_while_it_works_is_noticed() {
    let Some((_database, mut link)) = new_link() else {
        return;
    };
    let steps = [
        Step::Script("BEGIN"),
        Step::Run {
            statement: "SELECT pg_terminate_backend(pg_backend_pid())",
            parameters: Vec::new(),
        },
        Step::Run {
            statement: "SELECT pg_sleep(20)",
            parameters: Vec::new(),
        },
        Step::Commit,
    ];
    let lost = link.send(&steps).unwrap_err();
    // The server's last words may be lost with the connection.
    let LinkError::Lost(words) = lost else {
        panic!("the connection is lost: {lost}");
    };
    assert!(
        [
            "terminating connection due to administrator command",
            "the server closed the connection"
        ]
        .contains(&&*words),
        "{words}"
    );
    link.reconnect().unwrap();
    assert_eq!(select(&mut link, "SELECT 1::bigint"), int(1));
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let Some((_database, mut link)) = new_link() else {
        return;
    };
    link.set_silence(Duration::from_millis(200));
    let begun = Instant::now();
    let lost = link.run("SELECT pg_sleep(30)", &[]).unwrap_err();
    assert_eq!(
        lost,
        LinkError::Lost("the server has not answered for 200ms".to_owned())
    );
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(!link.is_connected());
}

#[test]
fn a_warning_at_the_commit_counts_as_a_lost_connection() {
    let Some((database, mut link)) = new_link() else {
        return;
    };
    database.sql(
        "CREATE TABLE public.t (a bigint);
         CREATE FUNCTION public.doubt() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN RAISE WARNING 'might not have been replicated' USING ERRCODE = '01000'; RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER doubt AFTER INSERT ON public.t DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW EXECUTE FUNCTION public.doubt()",
    );
    let insert = || Step::Run {
        statement: "INSERT INTO public.t VALUES (1)",
        parameters: Vec::new(),
    };
    let lost = link
        .send(&[Step::Script("BEGIN"), insert(), Step::Commit])
        .unwrap_err();
    assert_eq!(
        lost,
        LinkError::Lost(
            "the server warned while it committed: might not have been replicated".to_owned()
        )
    );
    assert!(!link.is_connected());
    link.reconnect().unwrap();
    // A warning to a read is none.
    link.script("DO $$ BEGIN RAISE WARNING 'x'; END $$")
        .unwrap();
}

#[test]
fn a_notification_is_waited_for() {
    let Some((database, mut link)) = new_link() else {
        return;
    };
    link.script("LISTEN hints").unwrap();
    assert!(!link.wait(Duration::from_millis(20)).unwrap());
    database.sql("NOTIFY hints");
    assert!(link.wait(Duration::from_secs(20)).unwrap());
    assert!(!link.wait(Duration::from_millis(20)).unwrap());
    // One that comes with an answer is kept.
    link.script("NOTIFY hints").unwrap();
    assert!(link.wait(Duration::from_secs(20)).unwrap());
}

#[test]
fn a_reader_writes_nothing_and_each_session_has_its_settings() {
    let Some((database, mut writer)) = new_link() else {
        return;
    };
    let mut reader = link_as(&database.url(), &READER);
    let refused = reader
        .run("CREATE TABLE public.t (a bigint)", &[])
        .unwrap_err();
    assert!(refused.to_string().contains("read-only"), "{refused}");
    reader.reconnect().unwrap();
    assert!(reader.run("CREATE TABLE public.t (a bigint)", &[]).is_err());
    for (name, value) in [
        ("search_path", "cairn"),
        ("enable_seqscan", "off"),
        ("application_name", "cairn writer"),
        ("default_transaction_isolation", "read committed"),
    ] {
        let found = select(&mut writer, &format!("SELECT current_setting('{name}')"));
        assert_eq!(found, Cell::from(value), "{name}");
    }
}
