//! What is not copied to a server.

use acceptance::stream::Stream;

use super::{ON_SERVER, another, fill, is_empty, moves, places, rows};

#[test]
fn a_move_to_what_is_no_empty_database_is_refused() {
    let Some((program, database)) = places() else {
        return;
    };
    let url = database.url();
    let to = |url: &str| program.run(&["db", "move", "--to", url]);
    to(&url)
        .exits(2)
        .says(&["there is no database at cairn.db"]);
    fill(&program);
    to("other.db")
        .exits(2)
        .says(&["names no database on a server", "postgres://"]);
    to("postgres://cairn:secret@127.0.0.1/x").exits(2);
    to("postgres://cairn@127.0.0.1:1/x").exits(1);
    program
        .run(&[&["db", "move", "--to", &url], &ON_SERVER[..]].concat())
        .exits(2)
        .says(&["on a server already"]);
    is_empty(&database);

    database.sql("CREATE SCHEMA cairn; CREATE TABLE cairn.another (id int)");
    to(&url).exits(1).says(&["another program's"]);
    database.sql("DROP SCHEMA cairn CASCADE");

    let before = rows(&program.path("cairn.db"));
    moves(&program, &database);
    to(&url).exits(2).says(&["is not empty", "`flows`"]);
    program
        .run(&[&["db", "restore", "cairn.db"], &ON_SERVER[..]].concat())
        .exits(2)
        .says(&["is not empty", "`flows`"]);
    assert_eq!(rows(&program.path("cairn.db")), before);

    let catalogue = another().unwrap();
    program.write("catalogue.toml", catalogue.settings(""));
    program
        .run(&["zones", "create", "here", "--config", "catalogue.toml"])
        .exits(0);
    to(&catalogue.url())
        .exits(2)
        .says(&["is not empty: there are rows in `audit`, `zones`"]);
    assert_eq!(catalogue.sql("SELECT name FROM cairn.zones"), "here");
}

#[test]
fn a_database_that_a_process_works_on_is_not_moved() {
    let Some((program, database)) = places() else {
        return;
    };
    let mut stream = Stream::start(&program, &[]);
    stream.succeeds();
    let url = database.url();
    program
        .run(&["db", "move", "--to", &url])
        .exits(2)
        .says(&["a process works on", "end it first"]);
    is_empty(&database);
    stream.kill();
    moves(&program, &database);
    assert_eq!(database.sql("SELECT count(*) FROM cairn.flows"), "1");
    let target = another().unwrap();
    program.write("target.toml", target.settings(""));
    let mut stream = Stream::start(&program, &["--config", "target.toml"]);
    stream.succeeds();
    target.sql("DELETE FROM cairn.flows");
    program
        .run(&["db", "move", "--to", &target.url()])
        .exits(2)
        .says(&["works on this database", "end it first"]);
}

#[test]
fn a_database_that_cannot_be_copied_whole_is_not_copied() {
    for (harm, exit, says) in [
        (
            "CREATE TABLE tickets (id TEXT PRIMARY KEY); INSERT INTO tickets VALUES ('one'); INSERT INTO schema VALUES ('tickets', 1)",
            2,
            &[
                "no domain of this program knows",
                "`tickets`",
                "the domains `tickets`",
            ][..],
        ),
        (
            "UPDATE zones SET name = 'no' || char(0) || 'va'",
            1,
            &["rows of the table `zones`", "NUL"],
        ),
        (
            "UPDATE volumes SET bootable = 7",
            1,
            &[
                "rows of the table `volumes`",
                "out of the range of the type bool",
            ],
        ),
        (
            "ALTER TABLE zones ADD COLUMN colour TEXT",
            2,
            &["`zones`", "`colour`", "in one database only"],
        ),
        ("PRAGMA user_version = 99", 1, &["made by a newer version"]),
        (
            "UPDATE schema SET version = 99 WHERE domain = 'volumes'",
            1,
            &["the domain `volumes`", "newer version"],
        ),
        (
            "PRAGMA user_version = 6",
            2,
            &["older version", "cairn db migrate"],
        ),
    ] {
        let Some((program, database)) = places() else {
            return;
        };
        fill(&program);
        program.run(&["db", "backup", "b.db"]).exits(0);
        for file in ["cairn.db", "b.db"] {
            let connection = rusqlite::Connection::open(program.path(file)).unwrap();
            connection.execute_batch(harm).unwrap();
        }
        let url = database.url();
        program
            .run(&["db", "move", "--to", &url])
            .exits(exit)
            .says(says);
        is_empty(&database);
        program
            .run(&[&["db", "restore", "b.db"], &ON_SERVER[..]].concat())
            .exits(exit)
            .says(says);
        is_empty(&database);
    }
}
