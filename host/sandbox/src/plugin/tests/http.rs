//! Requests of a guest that uses `wstd`, against servers on loopback.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use cairn_effects::event::LogLevel;
use cairn_effects::rules::{AnyAnswer, DynEffect, DynLookUp};
use cairn_effects::task::Context;
use cairn_manifest::manifest::{Grant, Grants, Limits};
use cairn_model::error::TaskError;
use cairn_model::id::{CallId, FlowId, Identity, Phase, TaskId};
use cairn_model::value::Value;
use cairn_outbound::{Authorities, Client, HttpGrantKind, Secrets, SystemResolver};
use wasmtime::component::{Component, InstancePre};
use zeroize::Zeroizing;

use super::super::component::run;
use super::super::engine::Engines;
use super::guests::built;
use crate::capability::{Granted, Http, Services, State};

/// A context that records the flow's log.
#[derive(Default)]
struct Logs {
    requester: Identity,
    lines: Mutex<Vec<(LogLevel, String)>>,
}

impl Context for Logs {
    fn call(&self) -> CallId {
        CallId {
            flow: FlowId::new(),
            task: TaskId::new(),
            phase: Phase::Call,
            attempt: 1,
        }
    }
    fn requester(&self) -> &Identity {
        &self.requester
    }
    fn request(&self) -> &Value {
        &Value::Null
    }
    fn fact(&self, _: &str) -> bool {
        false
    }
    fn result(&self, _: &str) -> Option<Value> {
        None
    }
    fn results(&self) -> Vec<(String, Value)> {
        Vec::new()
    }
    fn apply_dyn(&self, effect: &dyn DynEffect) -> Result<AnyAnswer, TaskError> {
        panic!("nobody applies {:?}", effect.name())
    }
    fn checkpoint(&self) -> Result<(), TaskError> {
        Ok(())
    }
    fn look_up_dyn(&self, look_up: &dyn DynLookUp) -> Result<AnyAnswer, TaskError> {
        panic!("nobody asks {:?}", look_up.function())
    }
    fn log(&self, level: LogLevel, message: String) {
        self.lines.lock().unwrap().push((level, message));
    }
}

struct Vault;

impl Secrets for Vault {
    fn value(&self, name: &str) -> Result<Zeroizing<String>, String> {
        match name {
            "pdns" => Ok(Zeroizing::new("hunter2".to_owned())),
            _ => Err("is not set up".to_owned()),
        }
    }
}

/// The engines, and the guest, built once.
fn guest() -> &'static (Engines, wasmtime::Engine, InstancePre<State>) {
    static GUEST: OnceLock<(Engines, wasmtime::Engine, InstancePre<State>)> = OnceLock::new();
    GUEST.get_or_init(|| {
        let bytes = built("fetch");
        let client = Client::new(Arc::new(SystemResolver), Authorities::default());
        let http = Http::new(client).with_secrets(Arc::new(Vault));
        let engines = Engines::new(vec![Arc::new(http)]).unwrap();
        let artifact = engines.any().unwrap().precompile_component(&bytes).unwrap();
        // SAFETY: the engine has just made it.
        #[expect(unsafe_code, reason = "see the safety comment")]
        let (sandbox, component): (_, Component) = unsafe { engines.load(&artifact) }.unwrap();
        let pre = sandbox.linker.instantiate_pre(&component).unwrap();
        let engine = sandbox.engine.clone();
        (engines, engine, pre)
    })
}

/// A call of the guest, and its log.
struct Called {
    result: Result<Result<String, String>, TaskError>,
    log: Vec<String>,
    time: Duration,
}

impl Called {
    /// Returns what the guest returned.
    #[track_caller]
    fn answer(&self) -> Result<&str, &str> {
        match &self.result {
            Ok(Ok(text)) => Ok(text),
            Ok(Err(text)) => Err(text),
            Err(error) => panic!("{error}"),
        }
    }

    /// Returns the kind of the error with which the host ended the call.
    #[track_caller]
    fn ended(&self) -> &str {
        match &self.result {
            Ok(answer) => panic!("{answer:?}"),
            Err(error) => &error.kind,
        }
    }
}

fn limits() -> Limits {
    Limits {
        deadline: Duration::from_secs(20),
        ..Limits::default()
    }
}

fn call(grant: Option<&str>, limits: Limits, what: &str, url: &str) -> Called {
    let (_, engine, pre) = guest();
    let grant = grant.map(|json| serde_json::from_str::<Grant>(json).unwrap());
    let grants = grant.map(|grant| (HttpGrantKind::NAME.to_owned(), grant));
    let granted = Granted {
        settings: "{}".to_owned(),
        grants: Grants::from_iter(grants),
        limits: limits.clone(),
        sees_request: false,
    };
    let services = Services {
        enforcer: Arc::new(cairn_policy::Policy::default()),
        domains: Default::default(),
        surroundings: None,
        rule_plugins: Default::default(),
    };
    let context = Arc::new(Logs::default());
    let since = Instant::now();
    let state = State::new(
        Arc::clone(&context) as _,
        Arc::new(granted),
        Arc::new(services),
    );
    let result = run(engine, pre, state, &limits, |instance, store| {
        let function = instance
            .get_typed_func::<(&str, &str), (Result<String, String>,)>(&mut *store, "run")?;
        Ok(function.call(store, (what, url))?.0)
    });
    let lines = context.lines.lock().unwrap();
    let log = lines
        .iter()
        .map(|(level, line)| format!("{level:?} {line}"));
    Called {
        result,
        log: log.collect(),
        time: since.elapsed(),
    }
}

/// A grant of all URLs of a server on loopback.
fn grant(url: &str) -> String {
    let (_, rest) = url.split_once("://").unwrap();
    let (authority, _) = rest.split_once('/').unwrap();
    format!(r#"{{"allow":["http://{authority}/*"]}}"#)
}

/// Calls the guest with a grant of the URL's server.
fn get(limits: Limits, what: &str, url: &str) -> Called {
    call(Some(&grant(url)), limits, what, url)
}

/// Starts a server that hands each connection to a function, and returns a URL of it.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x?key=value", listener.local_addr().unwrap());
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(stream.unwrap()));
        }
    });
    url
}

/// Reads a request up to the end of its body, whose length it declares or which is in chunks.
fn request(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let mut part = vec![0; 64 << 10];
    loop {
        let text = String::from_utf8_lossy(&said);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
            let is_whole = match length {
                Some(length) => body.len() >= length,
                None => !head.contains("chunked") || body.ends_with("0\r\n\r\n"),
            };
            if is_whole {
                return text.into_owned();
            }
        }
        match stream.read(&mut part) {
            Ok(read) if read > 0 => said.extend_from_slice(&part[..read]),
            Ok(_) | Err(_) => return String::from_utf8_lossy(&said).into_owned(),
        }
    }
}

/// Answers with 200 and the request itself.
fn echo(mut stream: TcpStream) {
    let said = request(&mut stream);
    let length = said.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nX-Api-Key: hunter2\r\nX-Other: shown\r\n\r\n{said}"
    );
    let _ = stream.write_all(answer.as_bytes());
}

/// Reads the request's head and says nothing until the other end closes the connection.
fn silent(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
}

#[test]
fn a_guest_sends_requests_and_reads_responses() {
    let url = server(echo);
    let called = get(limits(), "get", &url);
    let answer = called.answer().unwrap();
    assert!(
        answer.starts_with("200 GET /x?key=value HTTP/1.1\r\n"),
        "{answer}"
    );
    let called = get(limits(), "put hello", &url);
    let answer = called.answer().unwrap();
    assert!(answer.contains("\r\n5\r\nhello\r\n0\r\n"), "{answer}");
    // A body larger than the buffers between guest and connection.
    let called = get(limits(), "put-bytes 300000", &url);
    assert!(called.answer().unwrap().len() > 300_000);
}

#[test]
fn each_request_is_in_the_flows_log_without_headers_and_values() {
    let url = server(echo);
    let shown = url.replace("value", "…");
    let called = get(limits(), "set authorization hunter2", &url);
    assert!(called.answer().unwrap().contains("hunter2"));
    let [line] = &called.log[..] else {
        panic!("{:?}", called.log);
    };
    assert!(
        line.starts_with(&format!("Info http: GET {shown}: 200 (")),
        "{line}"
    );
    assert!(
        !line.contains("hunter2") && !line.contains("value"),
        "{line}"
    );
    // A guest that fills its log does not hide its requests.
    let called = get(limits(), "log 100", &url);
    let requests: Vec<_> = called
        .log
        .iter()
        .filter(|line| line.contains("http: GET"))
        .collect();
    assert_eq!(requests.len(), 1, "{:?}", called.log);
}

#[test]
fn what_the_grant_does_not_permit_is_refused_with_the_fix_in_the_log() {
    let url = server(echo);
    let here = grant(&url);
    let other = r#"{"allow":["http://127.0.0.1:1/*"]}"#;
    let reads = here.replace('}', r#","methods":["GET"]}"#);
    for (grant, what, url, code, log) in [
        (
            other,
            "get",
            url.as_str(),
            "HttpRequestDenied",
            "add a pattern for it to `allow`",
        ),
        (
            &reads,
            "put x",
            &url,
            "HttpRequestDenied",
            "add it to `methods`",
        ),
        (
            &here,
            "method TRACE",
            &url,
            "HttpRequestMethodInvalid",
            "TRACE is never sent",
        ),
        (
            "{}",
            "get",
            &url,
            "DestinationIpProhibited",
            "is this machine",
        ),
        (
            "{}",
            "get",
            "http://169.254.169.254/latest/",
            "DestinationIpProhibited",
            "link-local",
        ),
        (
            other,
            "get",
            "http://127.0.0.1:1/",
            "ConnectionRefused",
            "cannot be connected to",
        ),
        (
            &here,
            "get",
            &url.replace("/x", "/%2e%2e/x"),
            "HttpRequestUriInvalid",
            "`.` or `..`",
        ),
    ] {
        let called = call(Some(grant), limits(), what, url);
        let error = called.answer().unwrap_err();
        assert!(error.contains(code), "{what} {url}: {error}");
        let [line] = &called.log[..] else {
            panic!("{:?}", called.log);
        };
        assert!(
            line.starts_with("Warn http: ") && line.contains(log),
            "{line}"
        );
        assert!(!line.contains("value"), "{line}");
    }
}

#[test]
fn a_call_without_a_grant_ends() {
    let url = server(echo);
    for (grant, expected) in [
        (None, "the operator's settings do not allow it"),
        (Some(r#"{"allow":["nowhere"]}"#), "cannot be read"),
    ] {
        let called = call(grant, limits(), "get", &url);
        assert_eq!(called.ended(), "NotGranted");
        let message = called.result.unwrap_err().message;
        assert!(message.contains(expected), "{message}");
        assert!(called.log.is_empty(), "{:?}", called.log);
    }
}

#[test]
fn a_secret_is_sent_and_never_seen_by_the_guest() {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let (record, secret) = (
        Arc::clone(&sent),
        r#","auth":{"header":"x-api-key","secret":"pdns"}}"#,
    );
    let url = server(move |mut stream| {
        record.lock().unwrap().push(request(&mut stream));
        let _ = stream.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Api-Key: hunter2\r\nX-Other: shown\r\n\r\nok",
        );
    });
    let grant = grant(&url).replace('}', secret);
    let called = call(Some(&grant), limits(), "get", &url);
    assert_eq!(called.answer(), Ok("200 ok"));
    assert!(sent.lock().unwrap()[0].contains("x-api-key: hunter2\r\n"));
    assert!(!format!("{:?}", called.log).contains("hunter2"));
    // A server that echoes the header does not tell the guest, either.
    for (name, expected) in [("x-api-key", "none"), ("x-other", "shown")] {
        let called = call(Some(&grant), limits(), &format!("header {name}"), &url);
        assert_eq!(called.answer(), Ok(expected), "{name}");
    }
    let called = call(Some(&grant), limits(), "set x-api-key mine", &url);
    assert!(
        called.answer().unwrap_err().contains("Forbidden"),
        "{:?}",
        called.answer()
    );
    let missing = grant.replace("pdns", "gone");
    let called = call(Some(&missing), limits(), "get", &url);
    assert!(called.answer().unwrap_err().contains("ConfigurationError"));
    assert!(
        called.log[0].contains("the secret `gone` is not set up"),
        "{:?}",
        called.log
    );
}

#[test]
fn one_request_too_many_ends_the_call() {
    let url = server(echo);
    let few = Limits {
        http_requests: 3,
        ..limits()
    };
    assert_eq!(get(few.clone(), "many 3", &url).answer(), Ok("3"));
    let called = get(few, "many 4", &url);
    assert_eq!(called.ended(), "HttpRequestsExceeded");
    assert_eq!(called.log.len(), 3, "{:?}", called.log);
}

#[test]
fn a_body_or_a_time_over_its_limit_fails_the_request_alone() {
    let url = server(echo);
    let small = Limits {
        http_request_bytes: 10,
        ..limits()
    };
    let called = get(small, "put-bytes 11", &url);
    let error = called.answer().unwrap_err();
    assert!(error.contains("HttpRequestBodySize(Some(10))"), "{error}");
    assert!(
        called.log[0].contains("raise `http_request_bytes`"),
        "{:?}",
        called.log
    );
    let small = Limits {
        http_response_bytes: 10,
        ..limits()
    };
    let called = get(small, "get", &url);
    let error = called.answer().unwrap_err();
    assert!(error.contains("HttpResponseBodySize(Some(10))"), "{error}");
    let short = Limits {
        http_time: Duration::from_millis(200),
        ..limits()
    };
    let called = get(short, "get", &server(silent));
    let error = called.answer().unwrap_err();
    assert!(error.contains("HttpResponseTimeout"), "{error}");
    assert!(
        called.log[0].contains("raise `http_time`"),
        "{:?}",
        called.log
    );
    assert!(called.time < Duration::from_secs(5), "{:?}", called.time);
}

#[test]
fn the_deadline_of_a_call_holds_while_it_waits_for_a_server() {
    let short = Limits {
        deadline: Duration::from_millis(500),
        ..limits()
    };
    // The rest of its body does not come.
    let stalls = server(|mut stream| {
        request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello");
        silent(stream);
    });
    // It reads nothing, so that the connection's buffers fill.
    let deaf = server(|stream| {
        std::thread::sleep(Duration::from_secs(10));
        drop(stream);
    });
    let silent = server(silent);
    let large = Limits {
        http_request_bytes: 256 << 20,
        ..short.clone()
    };
    for (limits, what, url) in [
        (&short, "get", &silent),
        (&short, "get", &stalls),
        (&short, "read", &silent),
        (&short, "read", &stalls),
        (&short, "spin", &silent),
        (&large, "write", &deaf),
    ] {
        let called = get(limits.clone(), what, url);
        assert_eq!(called.ended(), "DeadlineExceeded", "{what} {url}");
        let late = called.time.saturating_sub(short.deadline);
        assert!(
            late < Duration::from_secs(2),
            "{what} {url}: {:?}",
            called.time
        );
    }
}

#[test]
fn a_request_that_a_call_leaves_behind_is_logged() {
    let called = get(limits(), "abandon", &server(silent));
    assert_eq!(called.answer(), Ok("sent"));
    assert!(
        called.log[0].contains("no response after"),
        "{:?}",
        called.log
    );
}

#[test]
fn the_connection_of_a_call_that_ended_is_closed() {
    let (sender, closed) = std::sync::mpsc::channel();
    let url = server(move |stream| {
        silent(stream);
        let _ = sender.send(());
    });
    let short = Limits {
        deadline: Duration::from_millis(500),
        ..limits()
    };
    assert_eq!(get(short, "get", &url).ended(), "DeadlineExceeded");
    closed
        .recv_timeout(Duration::from_secs(5))
        .expect("the server sees the end");
}
