//! Clocks that must be wrong, and times in a database that no clock can have produced.

use std::process::Command;

use acceptance::program::{Program, Run, end, volume_create};

use super::{create, program};

const REQUEST: &str = r#"{"size": 1}"#;

/// Runs the command with a wall clock fixed at this second.
pub(super) fn at(program: &Program, second: i64, arguments: &[&str]) -> Run {
    let (source, library) = (program.path("clock.c"), program.path("clock.so"));
    if !library.exists() {
        program.write(
            "clock.c",
            "#include <stdlib.h>\n#include <sys/syscall.h>\n#include <time.h>\n#include <unistd.h>\n\
             int clock_gettime(clockid_t clock, struct timespec *time) {\n\
                 int done = syscall(SYS_clock_gettime, clock, time);\n\
                 if (clock == CLOCK_REALTIME) time->tv_sec = atoll(getenv(\"SECOND\"));\n\
                 return done;\n\
             }\n",
        );
        // The compiler that also builds SQLite.
        let cc = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let mut cc = Command::new(cc);
        cc.args(["-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(&source);
        assert!(cc.status().expect("a C compiler is there").success());
    }
    let mut command = program.command(arguments);
    command
        .env("LD_PRELOAD", &library)
        .env("SECOND", second.to_string());
    end(command.spawn().expect("the program starts"))
}

#[test]
fn a_clock_that_cannot_be_right_is_an_error_before_anything_is_written() {
    let flow = volume_create();
    let program = program();
    for (second, shown) in [
        (-315_619_200, "1960-01-01T00:00:0"),
        (-1, "1969-12-31T23:59:5"),
        (253_370_764_800, "9999-01-01T00:00:0"),
        (253_402_300_800, "253402300800"),
        (i64::MAX, " us"),
        (i64::MIN, " us"),
    ] {
        for command in [
            &["run", &flow][..],
            &["run", &flow, "--jsonl"],
            &["zones", "create", "nova"],
            &["plan", &flow],
            &["flows", "list"],
            &["plugin", "call", "builtin:inject"],
        ] {
            at(&program, second, command).exits(1).says(&[
                "error: the clock says ",
                shown,
                "only times from 1970 to 9998 are worked with: set the clock of this machine right",
            ]);
        }
        assert!(!program.has_database(), "{second}");
    }
    for second in [0, 253_370_764_799] {
        program.write("request.json", REQUEST);
        at(
            &program,
            second,
            &[
                "run",
                &flow,
                "--input",
                "request.json",
                "--db",
                &format!("{second}.db"),
            ],
        )
        .exits(0);
        let list = at(
            &program,
            second,
            &["volumes", "list", "--db", &format!("{second}.db")],
        );
        assert!(list.exits(0).stdout.contains("creating"), "{second}");
    }
}

#[test]
fn times_in_a_database_may_be_any_number() {
    let program = program();
    let made = create(&program, REQUEST, &[], 0);
    let flow = made["flow"]["id"].as_str().expect("an id").to_owned();
    program.run(&["types", "create", "gold"]).exits(0);
    program.run(&["zones", "create", "nova"]).exits(0);
    for time in [i64::MIN, -1, 253_402_300_800_000_000, i64::MAX] {
        let database = rusqlite::Connection::open(program.path("cairn.db")).unwrap();
        let columns = {
            let statement = "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
                             WHERE m.type = 'table' AND (c.name LIKE '%\\_at' ESCAPE '\\' OR c.name = 'expire')";
            let mut statement = database.prepare(statement).unwrap();
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
            let rows: Result<Vec<(String, String)>, _> = rows.unwrap().collect();
            rows.unwrap()
        };
        assert!(columns.len() > 10, "{columns:?}");
        for (table, column) in columns {
            let statement = format!("UPDATE {table} SET {column} = ? WHERE {column} IS NOT NULL");
            database.execute(&statement, [time]).unwrap();
        }
        drop(database);
        for command in [
            &["volumes", "list"][..],
            &["volumes", "list", "--json"],
            &["types", "list"],
            &["flows", "list"],
            &["flows", "list", "--json"],
            &["flows", "show", &flow],
            &["flows", "events", &flow],
            &["outbox", "list", "--all"],
            &["quota", "show"],
            &["quota", "check"],
            &["quota", "sync"],
            &["quota", "expire"],
            &["flows", "prune", "--older-than", "1s", "--dry-run"],
            &["recover"],
        ] {
            program.run(command).exits(0);
        }
        create(&program, REQUEST, &[], 0);
    }
}
