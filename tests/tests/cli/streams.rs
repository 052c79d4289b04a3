//! Streams with invalid lines, slow readers, and readers that go away.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use acceptance::program::{Program, end, volume_create};
use acceptance::slow::{eventually, send};

use super::many::{count, reports, start_stream, stream};
use super::{program, request};

const GOOD: &str = "{\"size\": 1}\n";

/// Several times the number of requests that may be in flight at once.
const MANY: usize = 4_000;

/// The maximal number of requests in flight, plus the reports that the pipe holds.
const IN_FLIGHT: usize = 1_024;
const IN_PIPE: usize = 100;

/// Returns the number of flows, and of those that have not succeeded.
fn flows(program: &Program) -> (usize, usize) {
    let count = |which: &str| -> rusqlite::Result<u32> {
        let database = rusqlite::Connection::open(program.path("cairn.db"))?;
        let query = format!("SELECT count(*) FROM flows {which}");
        database.query_row(&query, [], |row| row.get(0))
    };
    // A stream that has just started may lock the database exclusively.
    let count = |which| count(which).unwrap_or(0) as usize;
    (count(""), count("WHERE state != 'SUCCESS'"))
}

/// Starts a stream of many requests within the quota. Its stdin is closed after the last one.
fn start_many(program: &Program) -> Child {
    let unlimited = ["quota", "set", "volumes=-1", "gigabytes=-1"];
    program.run(&unlimited).exits(0);
    let mut child = start_stream(program, &["run", &volume_create(), "--jsonl"], "");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    // The program may end before it has read all.
    thread::spawn(move || drop(stdin.write_all(GOOD.repeat(MANY).as_bytes())));
    child
}

/// Waits until a stream without a reader has run the requests that may be in flight, and asserts that it runs no more.
fn stalls(program: &Program) {
    eventually("the stream has begun", || flows(program).0 >= IN_FLIGHT);
    for _ in 0..50 {
        let found = flows(program).0;
        assert!(found <= IN_FLIGHT + IN_PIPE, "{found}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Starts a stream that has reported its only request, with stdin open.
fn start_idle(program: &Program, command: Option<Command>) -> (Child, BufReader<ChildStdout>) {
    let mut command = command.unwrap_or_else(|| program.command(&arguments()));
    let mut child = command
        .stdin(Stdio::piped())
        .spawn()
        .expect("the program starts");
    ask(&mut child);
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
    is_reported(&mut stdout, 1);
    (child, stdout)
}

fn arguments() -> [&'static str; 3] {
    [
        "run",
        Box::leak(volume_create().into_boxed_str()),
        "--jsonl",
    ]
}

fn ask(child: &mut Child) {
    let stdin = child.stdin.as_mut().expect("stdin is a pipe");
    stdin.write_all(GOOD.as_bytes()).expect("the program reads");
}

#[track_caller]
fn is_reported(stdout: &mut BufReader<ChildStdout>, line: u64) {
    let mut report = String::new();
    stdout.read_line(&mut report).expect("text");
    let report: serde_json::Value = serde_json::from_str(&report).expect("a report");
    assert_eq!(report["line"], line);
    assert_eq!(report["flow"]["state"], "SUCCESS");
}

#[test]
fn a_line_that_cannot_be_read_is_a_failure_of_that_line() {
    let program = program();
    let number = r#"{"size": 1, "scheduler_hints": {"id": 12345678901234567890123}}"#;
    let lines = [
        b"\xef\xbb\xbf{\"size\": 1}".to_vec(),
        b"{\"name\": \"\xff\xfe\"}".to_vec(),
        GOOD.trim().into(),
        vec![b'x'; (16 << 20) + 1],
        number.into(),
        b"\xef\xbb\xbf".to_vec(),
        b"{\"size\": 1, \"name\": \"\0\"}".to_vec(),
        b"{\"size\": 2}\r".to_vec(),
        b"\xc3".to_vec(),
    ];
    let run = stream(&program, &volume_create(), lines.join(&b'\n')).exits(2);
    let reports = reports(&run);
    let told: Vec<_> = reports
        .iter()
        .map(|report| {
            let state = report["flow"]["state"].as_str();
            let failure = report["failure"].as_str().unwrap_or_default();
            (report["line"].as_u64(), state.unwrap_or(failure))
        })
        .collect();
    let expected = [
        (1, "SUCCESS"),
        (2, "the line is not UTF-8: see its byte 11"),
        (3, "SUCCESS"),
        (4, "the line has more than 16 MiB"),
        (
            5,
            "the line cannot be taken: the number 12345678901234567890123 has more digits",
        ),
        (7, "the line is no JSON: control character"),
        (8, "SUCCESS"),
        (9, "the line is not UTF-8: see its byte 1"),
    ];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for ((line, found), (number, start)) in told.iter().zip(expected) {
        assert_eq!(*line, Some(number));
        assert!(found.starts_with(start), "line {number}: {found}");
    }
    assert_eq!(count(&program, "volumes"), 3);
}

#[test]
fn requests_wait_for_a_reader_that_is_slow() {
    let program = program();
    let child = start_many(&program);
    stalls(&program);
    let run = end(child).exits(0);
    assert_eq!(run.stdout.lines().count(), MANY);
    assert_eq!(flows(&program), (MANY, 0));
    assert_eq!(run.stderr, "");
}

#[test]
fn the_second_signal_ends_a_stream_without_a_reader() {
    let program = program();
    let mut child = start_many(&program);
    stalls(&program);
    let mut stderr = BufReader::new(child.stderr.take().expect("stderr is a pipe"));
    send(&child, "-INT");
    let mut told = String::new();
    stderr.read_line(&mut told).expect("text");
    assert!(told.contains("a second signal ends the process"), "{told}");
    send(&child, "-INT");
    let mut status = None;
    eventually("the process ends", || {
        status = child.try_wait().expect("it can be waited for");
        status.is_some()
    });
    assert_eq!(
        status.and_then(|status| status.code()),
        None,
        "by the signal"
    );
}

#[test]
fn a_stream_ends_when_its_reader_is_gone() {
    let program = program();
    let mut child = start_many(&program);
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("text");
    drop(stdout);
    let run = end(child).exits(1).says(&[
        "error: stdout cannot be written: Broken pipe",
        "; not delivered: ",
        "warning: left out: ",
        "help: the flows themselves have ended",
    ]);
    let number = |after: &str| {
        let (_, rest) = run.stderr.split_once(after).expect("it is said");
        let number = rest.split(' ').next().expect("a number");
        number.parse::<usize>().expect("a number")
    };
    let (ran, unfinished) = flows(&program);
    assert_eq!(unfinished, 0, "what ran was finished");
    assert!(
        number("not delivered: ") < ran && ran < MANY - IN_FLIGHT,
        "{ran}"
    );
    assert!(number("left out: ") <= IN_FLIGHT + 1);
}

#[test]
fn an_idle_stream_ends_when_its_reader_is_gone() {
    let program = program();
    let (mut child, stdout) = start_idle(&program, None);
    drop(stdout);
    let mut status = None;
    eventually("the process ends", || {
        status = child.try_wait().expect("it can be waited for");
        status.is_some()
    });
    end(child)
        .exits(1)
        .says(&["stdout cannot be written", "no more requests are taken"]);
}

#[test]
fn a_report_that_cannot_be_delivered_is_an_error_of_the_run() {
    for files in [1, 2] {
        let program = program();
        let mut arguments: Vec<String> = request(&program, r#"{"size": 1}"#).into();
        if files == 2 {
            arguments.extend(["--input".to_owned(), "request.json".to_owned()]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut child = program.start(&arguments);
        drop(child.stdout.take());
        let run = end(child).exits(1);
        let run = run.says(&[
            "error: stdout cannot be written: Broken pipe",
            "`cairn flow ",
        ]);
        let (ran, unfinished) = flows(&program);
        assert!(ran >= 1 && unfinished == 0, "{}", run.stderr);
    }
    // The reader of a list may stop early.
    let program = program();
    let mut child = program.start(&["plan", &volume_create()]);
    drop(child.stdout.take());
    end(child).exits(0);
}

#[test]
fn a_full_disk_under_stdout_is_an_error_of_the_host() {
    let program = program();
    let flow = volume_create();
    program.write("request.json", GOOD);
    let one = ["run", &flow, "--input", "request.json"];
    let two = [&one[..], &one[2..]].concat();
    for arguments in [
        &one[..],
        &two,
        &["run", &flow, "--jsonl"],
        &["flows", "list"],
        &["--help"],
    ] {
        let mut command = program.command(arguments);
        let full = File::options().write(true).open("/dev/full");
        command.stdout(full.expect("a disk that is full"));
        if arguments.contains(&"--jsonl") {
            command.stdin(File::open(program.path("request.json")).expect("it was written"));
        }
        let run = end(command.spawn().expect("the program starts")).exits(1);
        let is_help = arguments == ["--help"];
        assert!(
            is_help || run.stderr.contains("No space left on device"),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn a_signal_to_an_idle_stream_leaves_nothing_out() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let program = program();
        let (child, _stdout) = start_idle(&program, None);
        send(&child, signal);
        // Its stdin is open: `end` would close it.
        let mut child = child;
        eventually("the process ends", || {
            child.try_wait().expect("it can be waited for").is_some()
        });
        let run = end(child).exits(0).says(&["interrupted"]);
        assert!(!run.stderr.contains("left out"), "{}", run.stderr);
    }
}

#[test]
fn a_process_that_is_to_outlive_its_terminal_does() {
    let program = program();
    let own = program.command(&[]).get_program().to_owned();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\""])
        .arg(own)
        .args(arguments())
        .current_dir(program.path(""))
        .env("CAIRN_CACHE", program.beside("acceptance-cache"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let (mut child, mut stdout) = start_idle(&program, Some(shell));
    send(&child, "-HUP");
    ask(&mut child);
    is_reported(&mut stdout, 2);
    let run = end(child).exits(0);
    assert_eq!(run.stderr, "");
}
