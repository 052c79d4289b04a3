//! Deserializes JSON, with errors that name the path of the offending value.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Error;

/// Deserializes the text of one JSON document. `what` names it in the message.
///
/// Tries the type directly, which nearly always succeeds. If that fails, parses the text again as a [`Value`], to find
/// the path of the error.
pub(crate) fn from_text<T: DeserializeOwned>(
    kind: &str,
    what: &str,
    text: &str,
) -> Result<T, Error> {
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    let value: Value =
        serde_json::from_str(text).map_err(|error| Error::new(kind, format!("{what}: {error}")))?;
    from_value(kind, what, &value)
}

/// Deserializes a JSON value. `what` names it in the message.
pub(crate) fn from_value<T: DeserializeOwned>(
    kind: &str,
    what: &str,
    value: &Value,
) -> Result<T, Error> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        // serde names a missing or unknown field in its own message, and reports the path of the enclosing object.
        if path == "." {
            Error::new(kind, format!("{what}: {cause}"))
        } else {
            Error::new(kind, format!("{what}: `{path}`: {cause}")).with("field", path)
        }
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Inputs {
        #[allow(dead_code)]
        size: u32,
        #[allow(dead_code)]
        tags: Vec<String>,
    }

    fn error(value: Value) -> Error {
        from_value::<Inputs>("InvalidInput", "the inputs", &value).unwrap_err()
    }

    #[test]
    fn a_value_of_the_wrong_type_is_named_by_its_path() {
        let error = error(json!({"size": 1, "tags": ["a", 7]}));
        assert!(error.is("InvalidInput"));
        assert_eq!(error.details()["field"], "tags[1]");
        assert!(
            error
                .message()
                .starts_with("the inputs: `tags[1]`: invalid type: integer `7`"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_field_is_named_by_the_message() {
        assert!(
            error(json!({"size": 1}))
                .message()
                .contains("missing field `tags`")
        );
    }

    #[test]
    fn a_text_is_one_whole_document() {
        let parse = |text| from_text::<Inputs>("InvalidInput", "the inputs", text).is_ok();
        assert!(parse(r#"{"size": 1, "tags": []}"#));
        assert!(!parse(r#"{"size": 1, "tags": []} {}"#));
        assert!(!parse(r#"{"size": 1"#));
    }
}
