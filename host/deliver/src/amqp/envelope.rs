//! The envelope of oslo.messaging 2.0, for a cast.

use serde_json::{Value, json};

use cairn_effects::outbox::Message;
use cairn_model::value::Object;

/// Writes the body of a message: a call of `method` without an answer, for an interface of this version.
///
/// `_unique_id` is the message's id, by which a receiver may know a repeat. What it is told of the sender stands in `_context_…`.
pub fn body(message: &Message, version: &str) -> Vec<u8> {
    let document = |text: &str| serde_json::from_str::<Value>(text).ok();
    let mut inner = Object::new();
    let arguments = document(&message.arguments).filter(Value::is_object);
    inner.insert("method".to_owned(), json!(&*message.method));
    inner.insert("args".to_owned(), arguments.unwrap_or_else(|| json!({})));
    inner.insert("version".to_owned(), json!(version));
    inner.insert("_unique_id".to_owned(), json!(unique(&message.id)));
    for (name, value) in message.sender() {
        inner.insert(format!("_context_{name}"), value);
    }
    let inner = Value::Object(inner).to_string();
    json!({"oslo.version": "2.0", "oslo.message": inner})
        .to_string()
        .into_bytes()
}

/// An id as oslo.messaging writes them: 32 hexadecimal digits.
fn unique(id: &str) -> String {
    id.parse::<uuid::Uuid>()
        .map_or_else(|_| id.to_owned(), |id| id.simple().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_what_an_oslo_server_reads() {
        let message = Message {
            id: "0193a1b2-0000-7000-8000-000000000001".into(),
            topic: "cinder-scheduler".into(),
            method: "create_volume".into(),
            arguments: r#"{"volume_id":"v","filter_properties":{}}"#.into(),
            context: Some(r#"{"request_id":"req-1","project_id":"demo"}"#.into()),
            ..Message::default()
        };
        let outer: Value = serde_json::from_slice(&body(&message, "1.2")).unwrap();
        assert_eq!(outer["oslo.version"], "2.0");
        let inner: Value = serde_json::from_str(outer["oslo.message"].as_str().unwrap()).unwrap();
        let expected = json!({
            "method": "create_volume", "version": "1.2", "args": {"volume_id": "v", "filter_properties": {}},
            "_unique_id": "0193a1b2000070008000000000000001",
            "_context_request_id": "req-1", "_context_project_id": "demo",
        });
        assert_eq!(inner, expected);
        assert_eq!(outer.as_object().map(Object::len), Some(2));
    }

    #[test]
    fn a_message_without_a_sender_or_with_odd_arguments_has_an_envelope_too() {
        let message = Message {
            id: "odd".into(),
            arguments: "[1".into(),
            ..Message::default()
        };
        let outer: Value = serde_json::from_slice(&body(&message, "1.0")).unwrap();
        let inner: Value = serde_json::from_str(outer["oslo.message"].as_str().unwrap()).unwrap();
        let expected = json!({"method": "", "version": "1.0", "args": {}, "_unique_id": "odd"});
        assert_eq!(inner, expected);
    }
}
