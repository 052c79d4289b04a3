//! The guest, its calls, and the servers that it talks to.

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
use cairn_model::secret::{Secret, Secrets};
use cairn_model::value::Value;
use cairn_outbound::{Authorities, Client, HttpGrantKind, SystemResolver};
use wasmtime::component::{Component, InstancePre};

use super::super::super::component::run;
use super::super::super::engine::Engines;
use super::super::guests::built;
use crate::capability::{Granted, Http, Services, State};

/// The call of the guest.
pub(super) const CALL: CallId = CallId {
    flow: FlowId(uuid::Uuid::from_u128(1)),
    task: TaskId(uuid::Uuid::from_u128(2)),
    phase: Phase::Call,
    attempt: 1,
};

/// The trace of its flow.
pub(super) const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A context that records the flow's log.
struct Logs {
    requester: Identity,
    lines: Mutex<Vec<(LogLevel, String)>>,
}

impl Context for Logs {
    fn call(&self) -> CallId {
        CALL
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
    fn value(&self, name: &str) -> Result<Secret, String> {
        match name {
            "pdns" => Ok(Secret::new("hunter2")),
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
        let engines = Engines::new(vec![Arc::new(Http::new(client))]).unwrap();
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
pub(super) struct Called {
    pub(super) result: Result<Result<String, String>, TaskError>,
    pub(super) log: Vec<String>,
    pub(super) time: Duration,
}

impl Called {
    /// Returns what the guest returned.
    #[track_caller]
    pub(super) fn answer(&self) -> Result<&str, &str> {
        match &self.result {
            Ok(Ok(text)) => Ok(text),
            Ok(Err(text)) => Err(text),
            Err(error) => panic!("{error}"),
        }
    }

    /// Returns the kind of the error with which the host ended the call.
    #[track_caller]
    pub(super) fn ended(&self) -> &str {
        match &self.result {
            Ok(answer) => panic!("{answer:?}"),
            Err(error) => &error.kind,
        }
    }
}

pub(super) fn limits() -> Limits {
    Limits {
        deadline: Duration::from_secs(20),
        ..Limits::default()
    }
}

pub(super) fn call(grant: Option<&str>, limits: Limits, what: &str, url: &str) -> Called {
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
        secrets: Arc::new(Vault),
        rule_plugins: Default::default(),
    };
    let context = Arc::new(Logs {
        requester: Identity {
            trace: TRACEPARENT.parse().ok(),
            ..Identity::default()
        },
        lines: Mutex::default(),
    });
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
pub(super) fn grant(url: &str) -> String {
    let (_, rest) = url.split_once("://").unwrap();
    let (authority, _) = rest.split_once('/').unwrap();
    format!(r#"{{"allow":["http://{authority}/*"]}}"#)
}

/// Calls the guest with a grant of the URL's server.
pub(super) fn get(limits: Limits, what: &str, url: &str) -> Called {
    call(Some(&grant(url)), limits, what, url)
}

/// Starts a server that hands each connection to a function, and returns a URL of it.
pub(super) fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
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
pub(super) fn request(stream: &mut TcpStream) -> String {
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
pub(super) fn echo(mut stream: TcpStream) {
    let said = request(&mut stream);
    let length = said.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nX-Api-Key: hunter2\r\nX-Other: shown\r\n\r\n{said}"
    );
    let _ = stream.write_all(answer.as_bytes());
}

/// Reads the request's head and says nothing until the other end closes the connection.
pub(super) fn silent(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
}
