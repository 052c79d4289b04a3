//! Bad input, slow clients, and clients that come in crowds.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use acceptance::serving::Serving;
use serde_json::json;

use super::deployed;

#[test]
fn wrong_bodies_are_refused_with_a_reason() {
    let program = deployed("body = '4KiB'");
    let serving = Serving::start(&program, &[]);
    let json = ("content-type", "application/json");
    let post = |headers: &[(&str, &str)], body: &str| {
        serving.send("POST", "/v1/flows", headers, Some(body))
    };
    for (body, kind) in [
        ("", "InvalidJson"),
        ("{", "InvalidJson"),
        ("{\"flow\": \"greet\"} x", "InvalidJson"),
        ("{\"flow\": \"greet\", \"flow\": \"greet\"}", "InvalidJson"),
        ("[]", "InvalidInput"),
        ("{}", "InvalidInput"),
        ("{\"flow\": 1}", "InvalidInput"),
        ("{\"flow\": \"greet\", \"plan\": \"x\"}", "InvalidInput"),
        ("{\"flow\": \"greet\", \"request\": 1}", "InvalidInput"),
        ("{\"flow\": \"greet@1@2\"}", "InvalidInput"),
        ("{\"flow\": \"a\\u0000b\"}", "InvalidInput"),
        ("{\"flow\": \"other\"}", "NotFound"),
    ] {
        let status = if kind == "NotFound" { 404 } else { 400 };
        post(&[json], body).is_problem(status, kind);
    }
    post(&[], "{}").is_problem(415, "NotJson");
    post(&[("content-type", "text/plain")], "{}").is_problem(415, "NotJson");
    post(&[("content-type", "application/json; charset=utf-8")], "{}")
        .is_problem(400, "InvalidInput");
    let long = json!({"flow": "greet", "request": {"name": "x".repeat(5_000)}}).to_string();
    post(&[json], &long).is_problem(413, "TooLarge");
    let deep = format!(
        "{{\"flow\": \"greet\", \"request\": {}{}}}",
        "[".repeat(1_000),
        "]".repeat(1_000)
    );
    post(&[json], &deep).is_problem(400, "InvalidJson");
    serving.get("/v1/nothing").is_problem(404, "NotFound");
    serving
        .send("PUT", "/v1/flows", &[json], Some("{}"))
        .is(405);
    serving
        .get("/v1/flows/not-an-id")
        .is_problem(404, "NotFound");
    serving
        .get("/v1/flows/%1b%5b31m")
        .is_problem(404, "NotFound");
    serving
        .get("/v1/flows/01a22bb3-a277-77d1-9698-1ee5791ae389")
        .is_problem(404, "NotFound");
    // The server goes on.
    serving.get("/healthz").is(200);
}

/// Sends bytes, and returns what comes back until the server closes.
fn raw(serving: &Serving, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(&serving.address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    // A connection that is reset has been answered before.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn heads_that_are_too_long_are_refused() {
    let program = deployed("");
    let serving = Serving::start(&program, &[]);
    let host = &serving.address;
    let many: String = (0..200)
        .map(|number| format!("X-{number}: 1\r\n"))
        .collect();
    let answer = raw(
        &serving,
        format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n{many}\r\n").as_bytes(),
    );
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let long = "x".repeat(100_000);
    let answer = raw(
        &serving,
        format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nX: {long}\r\n\r\n").as_bytes(),
    );
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let answer = raw(&serving, b"nonsense\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    serving.get("/healthz").is(200);
}

#[test]
fn a_body_that_trickles_is_given_up() {
    let program = deployed("timeout = '1s'");
    let serving = Serving::start(&program, &[]);
    let mut stream = TcpStream::connect(&serving.address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let head = format!(
        "POST /v1/flows HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{",
        serving.address
    );
    stream.write_all(head.as_bytes()).unwrap();
    let begun = Instant::now();
    let mut answer = [0; 64];
    let read = stream.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(15));
}

#[test]
fn only_so_many_streams_are_open() {
    let program = deployed("streams = 2");
    let serving = Serving::start(&program, &[]);
    let open = || {
        let mut stream = TcpStream::connect(&serving.address).unwrap();
        write!(
            stream,
            "GET /v1/stream HTTP/1.1\r\nHost: {}\r\n\r\n",
            serving.address
        )
        .unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        (stream, String::from_utf8_lossy(&answer).into_owned())
    };
    // The list is empty, so its first event waits: the answer begins all the same.
    let (one, first) = open();
    let (_two, second) = open();
    assert_eq!(
        (first.as_str(), second.as_str()),
        ("HTTP/1.1 200", "HTTP/1.1 200")
    );
    let (_three, third) = open();
    assert_eq!(third, "HTTP/1.1 503");
    drop(one);
    let begun = Instant::now();
    while open().1 != "HTTP/1.1 200" {
        assert!(
            begun.elapsed() < Duration::from_secs(40),
            "the place is not given back"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// 10,000 connections that send nothing, and one client that works. Long: the server's memory is measured, too.
#[test]
#[ignore = "takes a minute, and 10,000 open files"]
fn ten_thousand_idle_connections_stop_nobody() {
    let program = deployed("");
    let serving = Serving::start(&program, &[]);
    let idle: Vec<TcpStream> = (0..10_000)
        .map(|_| TcpStream::connect(&serving.address).unwrap())
        .collect();
    let wait = [("prefer", "wait=30")];
    let asked = json!({"flow": "greet", "request": {"name": "Ada"}});
    serving.post_with("/v1/flows", &wait, &asked).is(200);
    let status = std::fs::read_to_string(format!("/proc/{}/status", serving.pid())).unwrap();
    let memory = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let memory: u64 = memory
        .trim()
        .trim_end_matches(" kB")
        .trim()
        .parse()
        .unwrap();
    println!("10,000 idle connections: {} MiB", memory / 1024);
    assert!(memory < 400 << 10, "{memory} KiB");
    drop(idle);
}
