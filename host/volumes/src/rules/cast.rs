//! Messages to other services: held until their flow succeeds.

use cairn_model::value::{Object, Value};

use super::tables::Message;
use cairn_effects::effect::{Answer, Cast, Change, Table};
use cairn_effects::event::FlowState;
use cairn_effects::rows::{Key, Rows};

/// Puts a message in the outbox: held while its flow may fail, ready at once for an operator.
pub(super) fn cast(rows: &mut Rows<'_>, cast: &Cast) -> Answer {
    let by = rows.by();
    let state = if by.call.is_some() { "held" } else { "ready" };
    let message = Message {
        id: rows.new_id(),
        flow: by.call.map(|call| call.flow),
        state: state.into(),
        topic: cast.topic.as_str().into(),
        method: cast.method.as_str().into(),
        arguments: cast.arguments.to_string().into(),
        created_at: rows.now(),
    };
    let message = rows.insert(message);
    rows.note(Change::Row {
        table: Table::Outbox,
        id: message.id.to_string(),
        before: None,
        after: Some(Object::from_iter([(
            "state".to_owned(),
            Value::from(state),
        )])),
    });
    Answer::Done
}

/// Settles what a flow sent at its end, as far as it is in memory: it is ready when the flow succeeds, and withdrawn when it
/// does not. Returns the keys of the messages that are not in memory.
pub fn settle(rows: &mut Rows<'_>, end: FlowState) -> Vec<Key> {
    let (messages, others) = rows.known_of_flow::<Message>();
    for message in messages {
        let own = rows.by().call.map(|call| call.flow);
        if &*message.state != "held" || message.flow != own {
            continue;
        }
        if end == FlowState::Success {
            let ready = Message {
                state: "ready".into(),
                ..Message::clone(&message)
            };
            rows.update(&message, ready);
        } else {
            rows.remove(&message);
        }
    }
    others
}
