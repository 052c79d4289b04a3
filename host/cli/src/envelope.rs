//! What a request may come in.

use cairn::error::Diagnostic;
use cairn::value::Value;

/// A request, and the key under which it is made.
///
/// A document is a request, or `{"request": …, "key": "…"}`: an object with the key `request` is always such an envelope. So a
/// request that has a `request` of its own is put into one.
#[derive(Debug, PartialEq)]
pub struct Envelope {
    /// Known also when the rest is wrong.
    pub key: Option<String>,
    pub request: Result<Value, Diagnostic>,
}

impl Envelope {
    pub fn open(document: Value) -> Self {
        let mut fields = match document {
            Value::Object(fields) if fields.contains_key("request") => fields,
            request => {
                return Self {
                    key: None,
                    request: Ok(request),
                };
            }
        };
        let request = fields.remove("request").unwrap_or_default();
        let (key, bad_key) = match fields.remove("key") {
            None | Some(Value::Null) => (None, None),
            Some(Value::String(key)) if !key.is_empty() => (Some(key), None),
            Some(_) => (
                None,
                Some(Diagnostic::new("`key` must be text that is not empty")),
            ),
        };
        let beside = fields.keys().next().map(|other| {
            Diagnostic::new(format!("beside `request` stands `{}`", other.escape_debug())).help(
                r#"there is nothing but `key`; a request that has a `request` of its own is written {"request": {"request": …}}"#,
            )
        });
        let request = match bad_key.or(beside) {
            Some(problem) => Err(problem),
            None => Ok(request),
        };
        Self { key, request }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_with_a_request_is_an_envelope_and_everything_else_a_request() {
        for (document, key, request) in [
            (json!({"size": 1}), None, json!({"size": 1})),
            (json!({"key": "k"}), None, json!({"key": "k"})),
            (json!([]), None, json!([])),
            (json!({"request": {"size": 1}}), None, json!({"size": 1})),
            (json!({"request": 1, "key": null}), None, json!(1)),
            (json!({"request": {}, "key": "k"}), Some("k"), json!({})),
            (
                json!({"request": {"request": {}}}),
                None,
                json!({"request": {}}),
            ),
        ] {
            let envelope = Envelope::open(document);
            assert_eq!(envelope.key.as_deref(), key);
            assert_eq!(envelope.request, Ok(request));
        }
    }

    #[test]
    fn an_envelope_holds_nothing_else_and_its_key_is_text() {
        for (document, key, message) in [
            (
                json!({"request": {}, "key": "k", "size": 1}),
                Some("k"),
                "beside `request` stands `size`",
            ),
            (
                json!({"request": {}, "key": 5}),
                None,
                "`key` must be text that is not empty",
            ),
            (
                json!({"request": {}, "key": "", "x": 1}),
                None,
                "`key` must be text that is not empty",
            ),
        ] {
            let envelope = Envelope::open(document);
            assert_eq!(envelope.key.as_deref(), key);
            assert_eq!(envelope.request.unwrap_err().message, message);
        }
    }
}
