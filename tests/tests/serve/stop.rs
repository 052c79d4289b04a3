//! How a server starts and ends.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use acceptance::program;
use acceptance::serving::Serving;
use serde_json::json;

use super::deployed;

#[test]
fn a_signal_ends_the_server_after_its_flows() {
    let program = deployed("");
    let serving = Serving::start(&program, &[]);
    let waits = json!({"flow": "waits", "request": {"name": "Wil"}});
    let id = serving.post("/v1/flows", &waits).is(202).id();
    let address = serving.address.clone();
    let path = format!("/v1/flows/{id}/stream");
    // A stream that is open is told, and does not hold the server up.
    let (heard, told) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let serving = &serving;
        scope.spawn(move || heard.send(serving.events(&path, &[], "bye")));
        std::thread::sleep(Duration::from_millis(500));
        let killed = std::process::Command::new("kill")
            .args(["-15", &serving.pid().to_string()])
            .status();
        assert!(killed.unwrap().success());
    });
    let events = told.recv().unwrap();
    assert_eq!(events.last().map(|sent| sent.name.as_str()), Some("bye"));
    let begun = Instant::now();
    while std::net::TcpStream::connect(&address).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(20));
    }
    let run = serving.wait();
    assert_eq!(run.exit, 0, "{}", run.stderr);
    // The flow that waits goes on at the next server.
    let serving = Serving::start(&program, &[]);
    let signal = json!({"name": "approved", "payload": {"by": "ann"}});
    serving
        .post(&format!("/v1/flows/{id}/signal"), &signal)
        .is(200);
    assert_eq!(
        serving
            .events(&format!("/v1/flows/{id}/stream"), &[], "end")
            .last()
            .unwrap()
            .data["state"],
        "SUCCESS"
    );
}

#[test]
fn an_empty_folder_is_enough() {
    let program = program::Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
    let serving = Serving::start(&program, &[]);
    assert_eq!(serving.get("/v1/flows").is(200).json()["flows"], json!([]));
    assert!(program.has_database());
}

#[test]
fn a_socket_serves_its_owner() {
    let program = deployed("");
    let path = program.path("s");
    let serve = ["serve", "--listen", "unix:s"];
    let ask = || {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream
            .write_all(b"GET /v1/flows HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let start = || {
        let child = program.start(&serve);
        let begun = Instant::now();
        while UnixStream::connect(&path).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30));
            std::thread::sleep(Duration::from_millis(20));
        }
        child
    };
    let mut child = start();
    assert!(ask().starts_with("HTTP/1.1 200"));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // A second server does not take the socket away.
    program
        .run(&serve)
        .exits(2)
        .says(&["another process listens there"]);
    child.kill().unwrap();
    child.wait().unwrap();
    // The socket of a server that was killed is replaced.
    let mut child = start();
    assert!(ask().starts_with("HTTP/1.1 200"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn two_servers_share_a_database() {
    let program = deployed("");
    let one = Serving::start(&program, &[]);
    let two = Serving::start(&program, &[]);
    let waits = json!({"flow": "waits", "request": {"name": "Wil"}});
    let id = one.post("/v1/flows", &waits).is(202).id();
    let signal = json!({"name": "approved", "payload": {"by": "ann"}});
    two.post(&format!("/v1/flows/{id}/signal"), &signal).is(200);
    let path = format!("/v1/flows/{id}/stream");
    for serving in [&one, &two] {
        let events = serving.events(&path, &[], "end");
        assert_eq!(events.last().unwrap().data["state"], "SUCCESS");
    }
}
