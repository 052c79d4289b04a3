//! The transactional outbox: messages to other services, held until their flow succeeds.
//!
//! With a transport (see [`Outgoing`]) the commit that records SUCCESS makes a message `sending`: from then on it may have left, and no
//! rollback withdraws it. Its row is removed when the receiver has confirmed it, or becomes `failed`. Without a transport it
//! becomes `ready`, and `acked` when a process takes it.

use serde_json::json;

use cairn_model::clock::Timestamp;
use cairn_model::id::{CallId, ContextPart, FlowId};
use cairn_model::trace::TraceContext;
use cairn_model::value::{Object, Value};

use crate::effect::Change;
use crate::event::FlowState;
use crate::rows::{
    Dumped, End, Hooks, Inverse, Pruned, Registered, Row as _, RowId, Rows, Stop, Table, Text,
    Undo, typed,
};
use crate::rules::{Effect, LookUp};
use crate::table;

table! {
    /// A message in the outbox.
    pub struct Message in "outbox", called "cast", with HOOKS {
        key id;
        flow: Option<FlowId>,
        /// `held` until the flow succeeds; then `sending` or `failed`, or without a transport `ready` or `acked`.
        state: Text,
        topic: Text,
        method: Text,
        arguments: Text,
        created_at: Timestamp,
        /// The project of its sender; `None` of a message of an older version.
        project_id: Option<Text>,
        /// What the receiver is told of its sender: a JSON object; `None` where no transport was configured.
        context: Option<Text>,
        /// How often it was published without being confirmed.
        attempts: i64,
        /// When it is published next.
        due_at: Timestamp,
        /// Since when it is to be delivered: its flow's success, or an operator's retry.
        since: Timestamp,
        /// Why it was not delivered, the last time.
        last_error: Option<Text>,
    }
}

/// The key in a message's row under which its trace stands beside what its receiver is told.
const TRACEPARENT: &str = "traceparent";

impl Message {
    /// Returns what its receiver is told of its sender.
    pub fn sender(&self) -> Object {
        let mut context = self.written_context();
        context.remove(TRACEPARENT);
        context
    }

    /// Returns its header `traceparent`: the trace that it belongs to, and the call that sent it.
    pub fn trace(&self) -> Option<TraceContext> {
        let context = self.written_context();
        context.get(TRACEPARENT)?.as_str()?.parse().ok()
    }

    fn written_context(&self) -> Object {
        let context = self.context.as_deref();
        context
            .and_then(|context| serde_json::from_str(context).ok())
            .unwrap_or_default()
    }
}

/// The outbox.
pub const TABLE: &Table = Message::TABLE;

/// The outbox, with its rules.
pub(crate) const REGISTERED: Registered = Registered {
    table: TABLE,
    undo,
    settle: Some(settle),
};

const HOOKS: Hooks = Hooks {
    flow: Some("flow"),
    hidden: &["flow"],
    // The same messages have other times, requests and errors each time.
    dumped: &[
        ("project_id", Dumped::LeftOut),
        ("context", Dumped::LeftOut),
        ("attempts", Dumped::LeftOut),
        ("due_at", Dumped::LeftOut),
        ("since", Dumped::LeftOut),
        ("last_error", Dumped::LeftOut),
    ],
    // Messages of a flow that does not succeed are withdrawn, whatever its reverts answered.
    is_absent: |_| true,
    pruned: Pruned::Remove {
        closed: "state = 'acked'",
        name: "messages",
        called: "taken message",
    },
    ..Hooks::NONE
};

/// Says that a transport takes messages. A program that configures one adds it to the [services](crate::domain::Domains::with) of its
/// domains.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// What receivers are told of a message's sender.
    pub context: Vec<ContextPart>,
}

/// The states of messages that are to be delivered, or could not be.
pub const UNDELIVERED: [&str; 2] = ["sending", "failed"];

/// Sends a message to another service if, and only if, the flow succeeds.
#[derive(Clone, Debug, PartialEq)]
pub struct Cast {
    /// The receiver, such as `cinder-scheduler`.
    pub topic: String,
    /// The method that the receiver should run.
    pub method: String,
    /// The arguments: one JSON object.
    pub arguments: Value,
}

impl Effect for Cast {
    const NAME: &'static str = "cast";
    const FUNCTION: &'static str = "rpc.cast";
    type Answer = ();

    fn arguments(&self) -> Value {
        json!({"topic": self.topic, "method": self.method, "arguments": self.arguments})
    }

    /// Adds a message to the outbox: held while its flow may fail, or ready at once for an operator.
    fn apply(&self, rows: &mut Rows<'_>) -> Result<(), Stop> {
        let (by, now) = (rows.by(), rows.now());
        let outgoing = rows.services().get::<Outgoing>();
        let state = match by.call {
            Some(_) => "held",
            None => released(outgoing),
        };
        let context = outgoing.map(|outgoing| {
            let mut context = by.requester.context(&outgoing.context, now);
            if let Some(trace) = by.requester.trace {
                let span = by.call.map_or(trace.parent_id, CallId::span);
                let traceparent = trace.within(span).to_string();
                context.insert(TRACEPARENT.to_owned(), traceparent.into());
            }
            context
        });
        let message = Message {
            id: rows.new_id(),
            flow: by.call.map(|call| call.flow),
            state: state.into(),
            project_id: Some(by.requester.project_id.as_str().into()),
            context: context.map(|context| Value::Object(context).to_string().into()),
            attempts: 0,
            due_at: now,
            since: now,
            last_error: None,
            topic: self.topic.as_str().into(),
            method: self.method.as_str().into(),
            arguments: self.arguments.to_string().into(),
            created_at: now,
        };
        let message = rows.insert(message);
        rows.note(Change::Row {
            table: TABLE.name.into(),
            id: Text::clone(&message.id).into(),
            before: None,
            after: Some(Object::from_iter([("state".to_owned(), state.into())])),
        });
        Ok(())
    }
}

/// The state of a message that its flow lets go.
fn released(outgoing: Option<&Outgoing>) -> &'static str {
    match outgoing {
        Some(_) => "sending",
        None => "ready",
    }
}

/// Asks whether a message has left the outbox, or may have: after its flow succeeded, its row is gone once it was delivered.
#[derive(Clone, Debug, PartialEq)]
pub struct IsGone(pub Text);

impl LookUp for IsGone {
    const FUNCTION: Option<&'static str> = None;
    type Answer = bool;

    fn arguments(&self) -> Value {
        json!({"id": &*self.0})
    }

    fn look_up(&self, rows: &mut Rows<'_>) -> Result<bool, Stop> {
        Ok(rows.get::<Message>(Text::clone(&self.0))?.is_none())
    }
}

/// What became of a message that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It was delivered: its row is removed.
    Done,
    /// It is published again.
    Again {
        /// How often it was published so far.
        attempts: i64,
        /// When.
        due_at: Timestamp,
        /// Why it was not delivered.
        error: Text,
    },
    /// It is not published any more, until an operator retries it.
    Failed {
        /// How often it was published.
        attempts: i64,
        /// Why it was not delivered.
        error: Text,
    },
}

/// Record what became of messages. It is the dispatcher's, and in no journal. A message that an operator discarded meanwhile is
/// passed over.
#[derive(Clone, Debug, PartialEq)]
pub struct Deliver(pub Vec<(Text, Delivery)>);

impl Effect for Deliver {
    const NAME: &'static str = "deliver";
    const FUNCTION: &'static str = "outbox.deliver";
    type Answer = ();

    fn arguments(&self) -> Value {
        json!({"ids": self.0.iter().map(|(id, _)| &**id).collect::<Vec<_>>()})
    }

    fn apply(&self, rows: &mut Rows<'_>) -> Result<(), Stop> {
        let ids = self.0.iter().map(|(id, _)| Text::clone(id));
        rows.prefetch(ids.map(RowId::of::<Message>))?;
        for (id, delivery) in &self.0 {
            let Some(message) = rows.get::<Message>(Text::clone(id))? else {
                continue;
            };
            let (state, attempts, due_at, error) = match delivery {
                Delivery::Done => {
                    rows.remove(&message);
                    continue;
                }
                // It was given up, or released, by an operator.
                _ if &*message.state != "sending" => continue,
                Delivery::Again {
                    attempts,
                    due_at,
                    error,
                } => ("sending", *attempts, *due_at, error),
                Delivery::Failed { attempts, error } => {
                    ("failed", *attempts, message.due_at, error)
                }
            };
            let changed = Message {
                state: state.into(),
                attempts,
                due_at,
                last_error: Some(Text::clone(error)),
                ..Message::clone(&message)
            };
            rows.update(&message, changed);
        }
        Ok(())
    }
}

/// Undoes the sending of a message. A message that was held when its flow failed is already withdrawn. One that its flow's success
/// released is withdrawn if no process has taken it.
fn undo(_: &mut Rows<'_>, inverse: &Inverse<'_>) -> Result<Undo, Stop> {
    let Some(found) = inverse.found else {
        return Ok(Undo::Nothing);
    };
    let was_held = inverse
        .wrote
        .is_some_and(|wrote| wrote.get("state") == Some(&"held".into()));
    let is_ready = typed::<Message>(found).is_some_and(|message| &*message.state == "ready");
    match was_held && is_ready {
        true => Ok(Undo::Apply),
        false => inverse.compare(),
    }
}

/// Releases a flow's messages when the flow succeeds, and withdraws them when it does not.
fn settle(rows: &mut Rows<'_>, end: End<'_>) -> Result<(), Stop> {
    let flow = rows.by().call.map(|call| call.flow);
    for message in rows.of_flow::<Message>()? {
        if &*message.state != "held" || message.flow != flow {
            continue;
        }
        if end.state == FlowState::Success {
            let outgoing = rows.services().get::<Outgoing>();
            let mut let_go = Message {
                state: released(outgoing).into(),
                ..Message::clone(&message)
            };
            if outgoing.is_some() {
                (let_go.due_at, let_go.since) = (rows.now(), rows.now());
            }
            rows.update(&message, let_go);
        } else {
            rows.remove(&message);
        }
    }
    Ok(())
}
