//! Idempotency keys: what a key stands for, and for how long. Rules only; the store keeps the keys.

use std::time::Duration;

use crate::text::{Text, Unfit};
use crate::value::{Digest, Value};

/// A key with what is asked under it. Keys are a project's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    text: String,
    asked: Digest,
}

impl Key {
    /// The key `text` of a request to the flow called `flow`. `request` is the request as it was asked, before anything in
    /// it is looked up.
    ///
    /// # Errors
    /// [`Unfit`] when the text is empty or longer than 255 characters.
    pub fn new(text: impl Into<String>, flow: &str, request: &Value) -> Result<Self, Unfit> {
        let text = text.into();
        Text::Word.check(&text)?;
        Ok(Self {
            text,
            asked: asked(flow, request),
        })
    }

    /// The key as a journal has it: nothing is checked.
    pub fn stored(text: String, asked: Digest) -> Self {
        Self { text, asked }
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The digest of what is asked under it: see [`asked`].
    pub fn asked(&self) -> Digest {
        self.asked
    }
}

/// The digest of what is asked: of the flow's name and the request's JSON with sorted keys. Two requests are the same when
/// their digests are; the version of the flow does not count, nor does what the request's names stand for.
pub fn asked(flow: &str, request: &Value) -> Digest {
    // Not by a struct: the order of the two is part of the digest.
    let asked = serde_json::json!([flow, request]);
    Digest::of(crate::value::text(&asked).as_bytes())
}

/// `[idempotency]`: what the operator sets about keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotencyConfig {
    /// How long a key is kept after its flow has ended. A repeat gets the first report until then, also when the flow is
    /// pruned. The key of a flow that has not ended is kept.
    pub keep: Duration,
}

impl Default for IdempotencyConfig {
    fn default() -> Self {
        Self {
            keep: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_asked_is_the_flows_name_and_the_request() {
        let one = serde_json::from_str(r#"{"size": 1, "name": "a"}"#).unwrap();
        let same = serde_json::from_str(r#"{"name": "a", "size": 1}"#).unwrap();
        assert_eq!(asked("create", &one), asked("create", &same));
        for (flow, request) in [
            ("created", json!({"size": 1, "name": "a"})),
            ("create", json!({"size": 1})),
            ("create", json!({"size": 1, "name": "A"})),
            ("create", json!(null)),
        ] {
            assert_ne!(asked("create", &one), asked(flow, &request), "{request}");
        }
    }

    #[test]
    fn a_key_is_text_of_a_length() {
        let key = |text: &str| Key::new(text, "create", &Value::Null);
        assert_eq!(key(""), Err(Unfit::Empty));
        assert_eq!(key(&"k".repeat(256)), Err(Unfit::TooLong(256)));
        assert_eq!(key("k").unwrap().text(), "k");
    }
}
