//! A server of oslo.messaging, as Cinder's scheduler is one, receives a cast with its context.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use acceptance::program::{Program, repository};
use acceptance::rabbit::{PASSWORD, Space, USER};
use acceptance::tools::not_run;
use serde_json::{Value, json};

use super::{EXCHANGE, TOPIC, create, listed, program};

/// The version that this was tried with.
const OSLO: &str = "oslo.messaging==18.3.1";

/// A Python with oslo.messaging, installed once below `target/`.
fn python(program: &Program) -> Result<PathBuf, String> {
    let folder = program.beside("acceptance-tools");
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let lock = File::create(folder.join("lock-oslo")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    let venv = folder.join("oslo");
    let python = venv.join("bin/python");
    let done = venv.join(OSLO);
    if done.exists() {
        return Ok(python);
    }
    let _ = fs::remove_dir_all(&venv);
    let run = |command: &mut Command| {
        let output = command
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!(
                "{command:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            )),
        }
    };
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    run(Command::new(&python).args([
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        OSLO,
    ]))?;
    File::create(done).map_err(|error| error.to_string())?;
    Ok(python)
}

#[test]
fn a_scheduler_receives_the_cast_with_its_context() {
    const TEST: &str = "a_scheduler_receives_the_cast_with_its_context";
    let Some(space) = Space::shared(TEST) else {
        return;
    };
    let program = program(&space, "identity = \"cinder\"\n");
    let python = match python(&program) {
        Ok(python) => python,
        Err(reason) => return not_run(TEST, "oslo.messaging", &reason),
    };
    let url = format!(
        "rabbit://{USER}:{PASSWORD}@127.0.0.1:{}/{}",
        space.port(),
        space.vhost()
    );
    let mut server = Command::new(python)
        .arg(repository("tests/tests/amqp/server.py"))
        .args([&url, EXCHANGE, TOPIC])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let mut next = || lines.next().expect("the server says something").unwrap();
    assert_eq!(next(), "listening");
    let report = create(&program).exits(0).json();
    let call: Value = serde_json::from_str(&next()).unwrap();
    let volume = &report["tasks"][3]["result"]["volume_id"];
    assert_eq!(call["volume_id"], *volume);
    assert_eq!(call["topic"], "cinder-volume");
    assert_eq!(call["request_spec"]["volume_properties"]["size"], 1);
    let context = &call["context"];
    for (name, expected) in [
        ("project_id", json!("demo")),
        ("tenant", json!("demo")),
        ("user_id", json!("demo")),
        ("user", json!("demo")),
        ("is_admin", json!(false)),
        ("roles", json!([])),
        ("read_deleted", json!("no")),
        ("quota_class", Value::Null),
    ] {
        assert_eq!(context[name], expected, "{name} of {context}");
    }
    assert!(
        context["request_id"]
            .as_str()
            .is_some_and(|id| id.starts_with("req-")),
        "{context}"
    );
    assert!(context["timestamp"].is_string(), "{context}");
    assert!(listed(&program).is_empty());
    // The server ends with its stdin.
    drop(server.stdin.take());
    assert!(server.wait().unwrap().success());
}
