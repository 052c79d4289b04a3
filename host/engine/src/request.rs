//! From what an operator asks to what a flow is given: for `volume:create`, what Cinder's API layer hands to its flow.
//!
//! Ids and names are looked up here, so that whole objects come from the catalogue only: whoever could hand one in could
//! forge a status or a key.

use std::path::Path;

use cairn_model::error::Diagnostic;
use cairn_model::idempotency::Key;
use cairn_model::text::{Text, check_entry};
use cairn_model::value::{Object, Value};
use cairn_store::StoreError;
use cairn_store::view::{Kind, View};
use cairn_store::volumes::{ReadVolumes as _, kind};

/// Why a request cannot be handed to a flow; nothing ran.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RequestError {
    /// The request is wrong.
    #[error("{0}")]
    Invalid(#[from] Diagnostic),
    /// The database could not be asked.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// What a request of `volume:create` may say, and of which type.
const VOLUME_CREATE: &[(&str, Type)] = &[
    ("size", Type::Integer),
    ("name", Type::Text(Text::Words)),
    ("description", Type::Text(Text::Words)),
    ("metadata", Type::TextMap),
    ("availability_zone", Type::Text(Text::Word)),
    ("volume_type", Type::Text(Text::Word)),
    ("image_id", Type::Text(Text::Word)),
    ("snapshot_id", Type::Text(Text::Word)),
    ("source_volid", Type::Text(Text::Word)),
    ("scheduler_hints", Type::Object),
];

#[derive(Clone, Copy)]
enum Type {
    Integer,
    Text(Text),
    TextMap,
    Object,
}

impl Type {
    const fn name(self) -> &'static str {
        match self {
            Self::Integer => "a whole number of GiB",
            Self::Text(_) => "text",
            Self::TextMap => "an object whose values are text",
            Self::Object => "an object",
        }
    }

    const fn example(self) -> &'static str {
        match self {
            Self::Integer => "1",
            Self::Text(_) => "\"…\"",
            Self::TextMap => "{\"name\": \"text\"}",
            Self::Object => "{\"name\": …}",
        }
    }

    fn takes(self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::Null)
            | (Self::Text(_), Value::String(_))
            | (Self::Object, Value::Object(_)) => true,
            (Self::Integer, Value::Number(number)) => number.is_i64(),
            (Self::TextMap, Value::Object(map)) => map.values().all(Value::is_string),
            _ => false,
        }
    }

    /// Holds the texts of a value that this type takes to their limits; says what is wrong after the value's name.
    fn check_texts(self, value: &Value) -> Result<(), String> {
        match (self, value) {
            (Self::Text(text), Value::String(value)) => {
                text.check(value).map_err(|unfit| unfit.to_string())
            }
            (Self::TextMap, Value::Object(map)) => map
                .iter()
                .try_for_each(|(key, value)| check_entry(key, value.as_str().unwrap_or_default()))
                .map_err(|unfit| unfit.to_string()),
            _ => Ok(()),
        }
    }
}

/// A request that was taken in.
#[derive(Clone, Debug)]
pub struct Entered {
    /// What a flow is given; or why it cannot be, where the key stands for the same request already.
    pub request: Result<Value, RequestError>,
    /// The key, with what was asked.
    pub key: Option<Key>,
}

/// Takes in a request to the flow called `flow`, under a key where there is one: [`resolve`]s it. A repeat need not be
/// resolved, for what it names may have changed since the first.
///
/// # Errors
/// Those of [`resolve`]; [`RequestError::Invalid`] for a key that is empty or too long.
pub fn enter(
    flow: &str,
    action: Option<&str>,
    request: &Value,
    key: Option<&str>,
    file: Option<&Path>,
    view: &View<'_>,
) -> Result<Entered, RequestError> {
    let key = key.map(|key| Key::new(key, flow, request)).transpose();
    let key = key.map_err(|unfit| Diagnostic::new(format!("the key {unfit}")))?;
    let request = match (resolve(action, request, file, view), &key) {
        (Err(error), Some(key)) if view.repeat_of(key)?.is_some() => Err(error),
        (request, _) => Ok(request?),
    };
    Ok(Entered { request, key })
}

/// Checks a request, looks up what it names, and makes of it what the flow of `action` is given. An action without a
/// schema of its own takes any object as it is.
///
/// # Errors
/// [`RequestError::Invalid`] for a wrong type, an unknown key, or something named that is not there: with the file and the field.
pub fn resolve(
    action: Option<&str>,
    request: &Value,
    file: Option<&Path>,
    view: &View<'_>,
) -> Result<Value, RequestError> {
    let place = |error: RequestError| match (error, file) {
        (RequestError::Invalid(diagnostic), Some(file)) => diagnostic.at(file, None).into(),
        (error, _) => error,
    };
    let Value::Object(request) = request else {
        let help = r#"write, for example, {"size": 1}"#;
        let diagnostic = Diagnostic::new("a request must be one JSON object").help(help);
        return Err(place(diagnostic.into()));
    };
    if action != Some("volume:create") {
        return Ok(Value::Object(request.clone()));
    }
    check(request)
        .map_err(RequestError::from)
        .and_then(|()| volume_create(request, view))
        .map(Value::Object)
        .map_err(place)
}

fn check(request: &Object) -> Result<(), Diagnostic> {
    for (key, value) in request {
        let Some((_, kind)) = VOLUME_CREATE.iter().find(|(name, _)| name == key) else {
            let known: Vec<&str> = VOLUME_CREATE.iter().map(|(name, _)| *name).collect();
            let nearest = cairn_manifest::document::nearest(key, known.iter().copied());
            let help = nearest.map_or_else(
                || format!("a request may say {}", known.join(", ")),
                |nearest| format!("did you mean `{nearest}`?"),
            );
            return Err(
                Diagnostic::new(format!("the request has an unknown key `{key}`")).help(help),
            );
        };
        if !kind.takes(value) {
            let message = format!(
                "the request's `{key}` must be {}, not `{value}`",
                kind.name()
            );
            let help = format!("write, for example, \"{key}\": {}", kind.example());
            return Err(Diagnostic::new(message).help(help));
        }
        if let Err(unfit) = kind.check_texts(value) {
            let diagnostic = Diagnostic::new(format!("the request's `{key}` {unfit}"));
            return Err(match value.as_str() {
                Some("") => diagnostic.help(format!("leave `{key}` out, or write null")),
                _ => diagnostic,
            });
        }
    }
    Ok(())
}

fn volume_create(request: &Object, view: &View<'_>) -> Result<Object, RequestError> {
    let get = |key: &str| request.get(key).cloned().unwrap_or_default();
    let find = |key: &str, kind: &Kind| -> Result<Option<Object>, RequestError> {
        match request.get(key).and_then(Value::as_str) {
            None => Ok(None),
            Some(id) => look_up(view, key, kind, id).map(Some),
        }
    };
    let volume_type = match find("volume_type", &kind::VOLUME_TYPE)? {
        Some(volume_type) => Value::Object(volume_type),
        // The task takes the default type; an empty object says that there is none.
        None if view.has_default_volume_type() => Value::Null,
        None => Value::Object(Object::new()),
    };
    let snapshot = match find("snapshot_id", &kind::SNAPSHOT)? {
        Some(mut snapshot) => {
            let volume = snapshot
                .get("volume_id")
                .and_then(Value::as_str)
                .map(str::to_owned);
            let volume = match volume {
                Some(id) => view.find(&kind::VOLUME, &id)?,
                None => None,
            };
            snapshot.insert(
                "volume".to_owned(),
                volume.map_or(Value::Null, Value::Object),
            );
            Value::Object(snapshot)
        }
        None => Value::Null,
    };
    let source_volume = find("source_volid", &kind::VOLUME)?.map_or(Value::Null, Value::Object);
    let image_id = match find("image_id", &kind::IMAGE)? {
        Some(image) => image.get("id").cloned().unwrap_or_default(),
        None => Value::Null,
    };
    Ok([
        ("size", get("size")),
        ("name", get("name")),
        ("description", get("description")),
        ("metadata", get("metadata")),
        ("availability_zone", get("availability_zone")),
        ("scheduler_hints", get("scheduler_hints")),
        ("image_id", image_id),
        ("volume_type", volume_type),
        ("snapshot", snapshot),
        ("source_volume", source_volume),
        ("backup_source_volume", Value::Null),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect())
}

/// What is named by an id or a name, and that the caller may see.
fn look_up(view: &View<'_>, key: &str, kind: &Kind, id: &str) -> Result<Object, RequestError> {
    let problem = match view.resolve_visible(kind, id) {
        Ok(found) => return Ok(found),
        Err(StoreError::Refused(error)) => error.message,
        Err(error) => return Err(error.into()),
    };
    let help = match key {
        "volume_type" => "`cairn types list` shows the volume types",
        "snapshot_id" => "`cairn snapshots list` shows the project's snapshots",
        "image_id" => "`cairn images list` shows the images",
        _ => "`cairn volumes list` shows the project's volumes",
    };
    Err(Diagnostic::new(format!("the request's `{key}`: {problem}"))
        .help(help)
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_request_is_checked_key_by_key() {
        let wrong = |request: Value, expected: &str| {
            let error = check(request.as_object().unwrap()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        wrong(json!({"size": "2"}), "`size` must be a whole number");
        wrong(json!({"size": 2.5}), "`size` must be a whole number");
        wrong(
            json!({"metadata": {"a": 1}}),
            "`metadata` must be an object whose values are text",
        );
        wrong(json!({"sise": 2}), "did you mean `size`?");
        wrong(
            json!({"encryption_key_id": "k"}),
            "unknown key `encryption_key_id`",
        );
        wrong(
            json!({"availability_zone": ""}),
            "`availability_zone` is empty",
        );
        wrong(
            json!({"metadata": {"": "a"}}),
            "`metadata` has a key that is empty",
        );
        let long = "ü".repeat(256);
        for key in ["name", "description", "availability_zone"] {
            wrong(json!({key: long}), "has 256 characters; the most is 255");
            let most = json!({key: "ü".repeat(255)});
            assert!(check(most.as_object().unwrap()).is_ok(), "{key}");
        }
        wrong(
            json!({"metadata": {&long: ""}}),
            "has a key that has 256 characters",
        );
        wrong(
            json!({"metadata": {"a": long}}),
            "has a value that has 256 characters; the most is 255: that of `a`",
        );
        assert!(
            check(
                json!({"size": 2, "name": null, "description": ""})
                    .as_object()
                    .unwrap()
            )
            .is_ok()
        );
    }
}
