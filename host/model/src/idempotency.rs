//! Idempotency keys: the request that a key stands for, and how long it is kept. Rules only; the store keeps the keys.

use std::time::Duration;

use crate::text::{Text, Unfit};
use crate::value::{Digest, Value};

/// An idempotency key with the digest of its request. Keys belong to a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    text: String,
    asked: Digest,
}

impl Key {
    /// Creates the key `text` of a request to the flow called `flow`. `request` is the request as the user sent it, before any
    /// name in it is resolved.
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

    /// Restores a key from a journal, without checks.
    pub fn stored(text: String, asked: Digest) -> Self {
        Self { text, asked }
    }

    /// Returns the key's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the digest of its request: see [`asked`].
    pub fn asked(&self) -> Digest {
        self.asked
    }
}

/// Returns the digest of a request: of the flow's name and the request's JSON with sorted keys. Two requests are the same if
/// their digests are; the flow's version does not count, nor do the objects that the request's names resolve to.
pub fn asked(flow: &str, request: &Value) -> Digest {
    // An array, not a struct: the order of the two is part of the digest.
    let asked = serde_json::json!([flow, request]);
    Digest::of(crate::value::text(&asked).as_bytes())
}

/// `[idempotency]`: the operator's settings about keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotencyConfig {
    /// How long a key is kept after its flow has ended. Until then a repeat gets the first report, even if the flow was pruned.
    /// The key of an unfinished flow is kept.
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
