//! The password of a database on a server, which nobody sees.

use std::process::Stdio;

use acceptance::program::{Run, end, volume_create};
use acceptance::slow::eventually;
use cairn_test_postgres::Setup;

use super::program;

const PASSWORD: &str = "hunter2-of-flows";

#[track_caller]
fn is_secret(run: &Run) {
    for text in [&run.stdout, &run.stderr] {
        assert!(!text.contains(PASSWORD), "{text}");
    }
}

#[test]
fn a_password_in_a_url_is_refused_and_not_shown() {
    let program = program();
    let url = format!("postgres://ann:{PASSWORD}@127.0.0.1:1/flows");
    // A database that could be moved.
    program.run(&["type", "create", "gold"]).exits(0);
    for arguments in [
        &["flow", "list", "--db", &url][..],
        &["run", &volume_create(), "--db", &url],
        &["db", "move", "--to", &url],
    ] {
        let run = program.run(arguments).exits(2);
        is_secret(&run);
        run.says(&["holds a password", "password_file"]);
    }
    program.write("cairn.toml", format!("db = \"{url}\"\n"));
    let run = program.run(&["flow", "list"]).exits(2);
    is_secret(&run);
}

#[test]
fn a_password_is_in_no_log_report_or_list_of_processes() {
    let setup = Setup {
        hba: vec!["host all locked 127.0.0.1/32 scram-sha-256".to_owned()],
        ..Setup::default()
    };
    let Some(server) = cairn_test_postgres::own(&setup) else {
        return;
    };
    let database = server.database();
    let name = database.name();
    database.sql(&format!(
        "CREATE ROLE locked LOGIN PASSWORD '{PASSWORD}'; GRANT CREATE ON DATABASE {name} TO locked"
    ));
    let program = program();
    let settings = |password: &str| {
        let url = database.tcp_url("locked", "");
        format!("db = \"{url}\"\n[postgres]\nunsafe_server = true\n{password}\n")
    };
    program.write_secret("right", format!("{PASSWORD}\n"));
    let run = || {
        let create = volume_create();
        let run = [
            "run",
            &create,
            "-i",
            r#"{"size": 1}"#,
            "--json",
            "--log-level",
            "trace",
        ];
        program.run(&run)
    };
    // A wrong one is not shown either.
    program.write(
        "cairn.toml",
        settings(&format!("password_command = [\"echo\", \"{PASSWORD}x\"]")),
    );
    let refused = run().exits(1);
    is_secret(&refused);
    refused.says(&["the password of the user `locked` is wrong"]);
    program.write("cairn.toml", settings("password_file = \"right\""));
    is_secret(&run().exits(0));

    // While it works: its arguments, which everybody may read, and the server's list of sessions.
    let mut stream = program.command(&["run", &volume_create(), "--jsonl"]);
    let mut child = stream.stdin(Stdio::piped()).spawn().expect("it starts");
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'locked'";
    eventually("it is connected", || database.sql(sessions) != "0");
    let arguments = std::fs::read(format!("/proc/{}/cmdline", child.id())).expect("it lives");
    assert!(!String::from_utf8_lossy(&arguments).contains(PASSWORD));
    let seen = database.sql("SELECT json_agg(a) FROM pg_stat_activity a");
    assert!(!seen.contains(PASSWORD));
    drop(child.stdin.take());
    is_secret(&end(child).exits(0));
}
