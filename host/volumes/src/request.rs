//! Checks a request of `volume:create` and resolves it to a flow's request, as Cinder's API layer does before its flow.
//!
//! Ids and names are looked up here, so that whole objects come from the catalogue only: a request that contained one could
//! forge a status or a key.

use cairn_model::error::Diagnostic;
use cairn_model::text::{Text, check_entry};
use cairn_model::value::{Object, Value};
use cairn_store::StoreError;
use cairn_store::flow_request::{RequestError, Resolver};
use cairn_store::view::{Kind, View};

use crate::operator::{ReadVolumes as _, kind};

/// The resolver of `volume:create`.
pub(crate) const VOLUME_CREATE: Resolver = Resolver {
    action: "volume:create",
    resolve: |request, view| {
        check(request)?;
        volume_create(request, view)
    },
};

/// The keys of a `volume:create` request, with their types.
const FIELDS: &[(&str, Type)] = &[
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

    /// Checks the limits of the texts in a value of this type. The error continues a sentence that begins with the value's name.
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

fn check(request: &Object) -> Result<(), Diagnostic> {
    for (key, value) in request {
        let Some((_, kind)) = FIELDS.iter().find(|(name, _)| name == key) else {
            let known: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
            let nearest = cairn_manifest::document::nearest(key, known.iter().copied());
            let help = nearest.map_or_else(
                || format!("known keys are {}", known.join(", ")),
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
        // For null the task uses the default type; an empty object means no type.
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

/// Returns the row with this id or name, if the caller may see it.
fn look_up(view: &View<'_>, key: &str, kind: &Kind, id: &str) -> Result<Object, RequestError> {
    let problem = match view.resolve_visible(kind, id) {
        Ok(found) => return Ok(found),
        Err(StoreError::Refused(error)) => error.message,
        Err(error) => return Err(error.into()),
    };
    let help = match key {
        "volume_type" => "`cairn type list` shows the volume types",
        "snapshot_id" => "`cairn snapshot list` shows the project's snapshots",
        "image_id" => "`cairn image list` shows the images",
        _ => "`cairn volume list` shows the project's volumes",
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
