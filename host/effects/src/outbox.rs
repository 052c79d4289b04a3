//! The transactional outbox: messages to other services, held until their flow succeeds.

use serde_json::json;

use cairn_model::id::FlowId;
use cairn_model::value::{Object, Value};

use crate::effect::Change;
use crate::event::FlowState;
use crate::rows::{
    End, Hooks, Inverse, Pruned, Registered, Row as _, Rows, Stop, Table, Text, Undo, typed,
};
use crate::rules::Effect;
use crate::table;

table! {
    /// A message in the outbox.
    pub struct Message in "outbox", called "cast", with HOOKS {
        key id;
        flow: Option<FlowId>,
        /// `held` until the flow succeeds, then `ready`, then `acked` by the process that took it.
        state: Text,
        topic: Text,
        method: Text,
        arguments: Text,
        created_at: cairn_model::clock::Timestamp,
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
    // Messages of a flow that does not succeed are withdrawn, whatever its reverts answered.
    is_absent: |_| true,
    pruned: Pruned::Remove {
        closed: "state = 'acked'",
        name: "messages",
        called: "taken message",
    },
    ..Hooks::NONE
};

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
        let by = rows.by();
        let state = if by.call.is_some() { "held" } else { "ready" };
        let message = Message {
            id: rows.new_id(),
            flow: by.call.map(|call| call.flow),
            state: state.into(),
            topic: self.topic.as_str().into(),
            method: self.method.as_str().into(),
            arguments: self.arguments.to_string().into(),
            created_at: rows.now(),
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
            let ready = Message {
                state: "ready".into(),
                ..Message::clone(&message)
            };
            rows.update(&message, ready);
        } else {
            rows.remove(&message);
        }
    }
    Ok(())
}
