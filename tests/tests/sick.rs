//! Databases that cannot be written or read: the error is clear, and once the fault is fixed, all started flows are
//! recovered.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use acceptance::crash::check;
use acceptance::program::{Program, Run, end, volume_create};
use rusqlite::Connection;

fn program() -> Program {
    let program = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
    program.write("cairn.toml", "patience = \"300ms\"\n");
    program
        .run(&["quota", "set", "volumes=-1", "gigabytes=-1"])
        .exits(0);
    program
}

/// Runs many requests under a limit of the shell.
fn run_many(program: &Program, limit: &str, requests: usize) -> Run {
    let requests: String = (0..requests)
        .map(|number| format!("{{\"size\": 1, \"name\": \"v{number}\"}}\n"))
        .collect();
    program.write("requests.jsonl", requests);
    let mut command = program.command(&[]);
    let shell = format!(
        "{limit} exec {} run {} --jsonl < requests.jsonl",
        env!("CARGO_BIN_EXE_cairn-under-test"),
        volume_create()
    );
    let mut run = Command::new("sh");
    run.args(["-c", &shell]);
    run.current_dir(program.path("."));
    run.env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            run.env(name, value);
        }
    }
    run.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let _ = command.stdin(Stdio::null());
    end(run
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell starts"))
}

#[track_caller]
fn is_whole(program: &Program) {
    program.run(&["recover"]).exits(0);
    if let Err(error) = check(&program.path("cairn.db")) {
        panic!("{error:#}");
    }
    program.run(&["quota", "check", "--admin"]).exits(0);
    program.run(&["run", &volume_create()]).exits(3);
}

#[test]
fn a_disk_that_takes_no_more_bytes_ends_the_run_and_nothing_is_lost() {
    let program = program();
    // Files may grow to this many blocks of 512 bytes; a write beyond is an error instead of a signal.
    let run = run_many(&program, "trap '' XFSZ; ulimit -f 2000;", 2_000);
    assert_eq!(run.exit, 1, "{}", run.stderr);
    assert!(
        run.stdout.contains("I/O error")
            || run.stderr.contains("I/O error")
            || run.stdout.contains("disk is full"),
        "{}\n{}",
        run.stderr,
        run.stdout.lines().last().unwrap_or_default()
    );
    is_whole(&program);
    let again = run_many(&program, "", 20).exits(0);
    assert_eq!(again.stdout.lines().count(), 20);
}

#[test]
fn a_write_lock_that_another_program_keeps_is_an_error_in_time() {
    let program = program();
    let db = Connection::open(program.path("cairn.db")).unwrap();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    let since = Instant::now();
    program
        .run(&["run", &volume_create()])
        .exits(1)
        .says(&["has locked the database for more than 300ms"]);
    assert!(since.elapsed().as_secs() < 10);
    db.execute_batch("COMMIT").unwrap();
    is_whole(&program);
}

/// Returns a database that a killed process left behind, with its log.
fn killed() -> Program {
    let program = program();
    let mut child = program
        .command(&["run", &volume_create(), "--jsonl"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || {
        use std::io::Write as _;
        for number in 0..100_000 {
            if writeln!(stdin, "{{\"size\": 1, \"name\": \"v{number}\"}}").is_err() {
                return;
            }
        }
    });
    let log = program.path("cairn.db-wal");
    while fs::metadata(&log).map_or(0, |log| log.len()) < 300_000 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    feeder.join().unwrap();
    program
}

#[test]
fn a_log_that_was_cut_short_is_a_crash_that_was_earlier() {
    for part in [2, 3, 10] {
        let program = killed();
        let log = fs::OpenOptions::new()
            .write(true)
            .open(program.path("cairn.db-wal"))
            .unwrap();
        let length = log.metadata().unwrap().len();
        log.set_len(length - length / part).unwrap();
        drop(log);
        is_whole(&program);
    }
}

#[test]
fn a_page_that_is_damaged_is_an_error_until_it_is_restored() {
    let program = program();
    run_many(&program, "", 50).exits(0);
    let path = program.path("cairn.db");
    let whole = fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    // All but the first page.
    for byte in &mut damaged[4096..] {
        *byte = 0xa5;
    }
    fs::write(&path, &damaged).unwrap();
    let run = program.run(&["flows", "list"]);
    assert_eq!(run.exit, 1, "{}", run.stdout);
    assert!(run.stderr.contains("malformed"), "{}", run.stderr);
    let run = run_many(&program, "", 5);
    assert_eq!(run.exit, 1, "{}", run.stderr);
    program.run(&["db", "check"]).exits(1).says(&["malformed"]);
    fs::write(&path, &whole).unwrap();
    let _ = fs::remove_file(program.path("cairn.db-wal"));
    let _ = fs::remove_file(program.path("cairn.db-shm"));
    is_whole(&program);
}
