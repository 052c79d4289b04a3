//! A store with flows that sent messages, and a transport whose answers a test decides.

#![allow(dead_code, reason = "each test uses some of it")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_deliver::{Dispatcher, Limits, Outcome, Transport};
use cairn_effects::domain::Domains;
use cairn_effects::event::{Event, FlowState};
use cairn_effects::outbox::{Cast, Message, Outgoing};
use cairn_effects::rows::Cell;
use cairn_model::clock::SystemClock;
use cairn_model::id::{CallId, ContextPart, FlowId, Identity, Phase, TaskId};
use cairn_model::value::Value;
use cairn_store::{Caller, HostStore, Sqlite, SqliteConfig};
use parking_lot::Mutex;
use serde_json::json;

pub const LIMITS: Limits = Limits {
    attempts: 20,
    max_age: Duration::from_secs(3600),
    most: 100_000,
};

pub fn open(path: &Path) -> Arc<dyn HostStore> {
    let config = SqliteConfig {
        domains: Domains::default().with(Outgoing {
            context: ContextPart::DEFAULT.to_vec(),
        }),
        ..SqliteConfig::default()
    };
    Arc::new(Sqlite::open(path, config, Arc::new(SystemClock)).unwrap())
}

pub fn ann() -> Identity {
    Identity::new("ann", "acme")
}

/// Runs a flow that sends messages of these methods, and ends in this state; on disk when this returns.
pub fn flow(store: &Arc<dyn HostStore>, methods: &[&str], end: FlowState) -> FlowId {
    let id = send(store, methods, end);
    store.flush();
    id
}

/// The same, in the open batch.
pub fn send(store: &Arc<dyn HostStore>, methods: &[&str], end: FlowState) -> FlowId {
    let requester = ann();
    let call = CallId {
        flow: FlowId::new(),
        task: TaskId::new(),
        phase: Phase::Call,
        attempt: 1,
    };
    let created = Event::Created {
        name: "sends".to_owned(),
        requester: requester.clone(),
        request: Value::Null,
        plan: None,
        key: None,
        asked: None,
    };
    let started = Event::Started {
        task: call.task,
        name: "send".to_owned(),
        attempt: 1,
    };
    store.append(call.flow, &[created, started]).unwrap();
    for method in methods {
        let cast = Cast {
            topic: "scheduler".to_owned(),
            method: (*method).to_owned(),
            arguments: json!({"n": method}),
        };
        let by = Caller {
            call: Some(call),
            requester: &requester,
        };
        store.apply_dyn(by, &cast).unwrap();
    }
    let state = Event::State {
        from: FlowState::Running,
        to: end,
    };
    store.append(call.flow, &[state]).unwrap();
    store.release(call.flow);
    call.flow
}

/// What the database holds of messages: method -> state, attempts, last error.
pub fn outbox(store: &Arc<dyn HostStore>) -> BTreeMap<String, (String, i64, Option<String>)> {
    let statement = "SELECT method, state, attempts, last_error FROM outbox";
    let rows = store
        .read(&ann(), |view| view.query(statement, &[]))
        .unwrap();
    rows.into_iter()
        .map(|row| match row.as_slice() {
            [
                Cell::Text(method),
                Cell::Text(state),
                Cell::Int(attempts),
                error,
            ] => {
                let error = match error {
                    Cell::Text(error) => Some(error.to_string()),
                    _ => None,
                };
                (method.to_string(), (state.to_string(), *attempts, error))
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

/// Makes every message due that waits for a later attempt.
pub fn hurry(store: &Arc<dyn HostStore>) {
    store
        .admin(&ann(), |admin| {
            admin.execute("UPDATE outbox SET due_at = 0", &[])
        })
        .unwrap();
}

/// Waits until something holds.
pub fn until(what: &str, holds: impl Fn() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(
            since.elapsed() < Duration::from_secs(20),
            "not in time: {what}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

type Answer = dyn FnMut(&Message) -> Outcome + Send;

/// A transport that notes what it was given, and answers as a test says.
#[derive(Clone)]
pub struct Fake {
    /// Id and method of each message, in the order in which they came.
    pub taken: Arc<Mutex<Vec<(String, String)>>>,
    pages: Arc<Mutex<Vec<usize>>>,
    answer: Arc<Mutex<Box<Answer>>>,
}

impl Fake {
    pub fn new(answer: impl FnMut(&Message) -> Outcome + Send + 'static) -> Self {
        Self {
            taken: Arc::default(),
            pages: Arc::default(),
            answer: Arc::new(Mutex::new(Box::new(answer))),
        }
    }

    pub fn confirming() -> Self {
        Self::new(|_| Outcome::Confirmed)
    }

    pub fn answers(&self, answer: impl FnMut(&Message) -> Outcome + Send + 'static) {
        *self.answer.lock() = Box::new(answer);
    }

    pub fn start(&self, store: &Arc<dyn HostStore>, limits: Limits) -> Dispatcher {
        Dispatcher::start(store, Box::new(self.clone()), limits).unwrap()
    }

    pub fn methods(&self) -> Vec<String> {
        let taken = self.taken.lock();
        taken.iter().map(|(_, method)| method.clone()).collect()
    }

    pub fn pages(&self) -> Vec<usize> {
        self.pages.lock().clone()
    }
}

impl Transport for Fake {
    fn publish(&mut self, messages: &[Message]) -> Vec<Outcome> {
        self.pages.lock().push(messages.len());
        let mut answer = self.answer.lock();
        let outcomes = messages.iter().map(|message| {
            let taken = (message.id.to_string(), message.method.to_string());
            self.taken.lock().push(taken);
            answer(message)
        });
        outcomes.collect()
    }
}

pub fn retry(reason: &str) -> Outcome {
    Outcome::Retry {
        reason: reason.to_owned(),
        after: None,
    }
}
