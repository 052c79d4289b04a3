//! Opens the envelope of a request.

use cairn::{Diagnostic, Value};

/// A request and its idempotency key.
///
/// A document is a request, or an envelope `{"request": …, "key": "…"}`. An object with the field `request` is always an envelope, so a
/// request with a field `request` must be put into one.
#[derive(Debug, PartialEq)]
pub struct Envelope {
    /// Set even if the request is wrong.
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
                Some(Diagnostic::new("`key` must be a string that is not empty")),
            ),
        };
        let beside = fields.keys().next().map(|other| {
            Diagnostic::new(format!("an envelope has no field `{}`", other.escape_debug())).help(
                r#"its fields are `request` and `key`; write a request with a field `request` as {"request": {"request": …}}"#,
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
                "an envelope has no field `size`",
            ),
            (
                json!({"request": {}, "key": 5}),
                None,
                "`key` must be a string that is not empty",
            ),
            (
                json!({"request": {}, "key": "", "x": 1}),
                None,
                "`key` must be a string that is not empty",
            ),
        ] {
            let envelope = Envelope::open(document);
            assert_eq!(envelope.key.as_deref(), key);
            assert_eq!(envelope.request.unwrap_err().message, message);
        }
    }
}
