//! Checks a request of `volume:create` and resolves it to a flow's request, as Cinder's API layer does before its flow.
//!
//! Ids and names are looked up here, so that whole objects come from the catalogue only: a request that contained one could
//! forge a status or a key.

use cairn_effects::rows::Services;
use cairn_model::error::Diagnostic;
use cairn_model::text::{Text, check_entry};
use cairn_model::value::{Object, Value};
use cairn_store::StoreError;
use cairn_store::flow_request::{RequestError, Resolver};
use cairn_store::view::{Kind, View};

use crate::operator::kind;
use crate::rules::Settings;

/// The resolver of `volume:create`.
pub(crate) const VOLUME_CREATE: Resolver = Resolver {
    action: "volume:create",
    resolve_alone: |request, services| {
        check(request)?;
        let named = Named::default();
        let names_none = NAMING.iter().all(|key| word(request, key).is_none());
        Ok(names_none.then(|| volume_create(request, named, services)))
    },
    resolve: |request, view| {
        check(request)?;
        let named = Named::look_up(request, view)?;
        Ok(volume_create(request, named, view.services()))
    },
};

/// The keys of a request that name objects.
const NAMING: [&str; 4] = ["volume_type", "snapshot_id", "source_volid", "image_id"];

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

/// The objects that a request names.
#[derive(Default)]
struct Named {
    volume_type: Option<Object>,
    /// With its volume.
    snapshot: Option<Object>,
    source_volume: Option<Object>,
    image: Option<Object>,
}

impl Named {
    fn look_up(request: &Object, view: &View<'_>) -> Result<Self, RequestError> {
        let find = |key: &str, kind: &Kind| -> Result<Option<Object>, RequestError> {
            let named = word(request, key).map(|id| look_up(view, key, kind, id));
            named.transpose()
        };
        let volume_type = find("volume_type", &kind::VOLUME_TYPE)?;
        let mut snapshot = find("snapshot_id", &kind::SNAPSHOT)?;
        if let Some(snapshot) = &mut snapshot {
            let volume = match word(snapshot, "volume_id") {
                Some(id) => view.find(&kind::VOLUME, id)?,
                None => None,
            };
            let volume = volume.map_or(Value::Null, Value::Object);
            snapshot.insert("volume".to_owned(), volume);
        }
        Ok(Self {
            volume_type,
            snapshot,
            source_volume: find("source_volid", &kind::VOLUME)?,
            image: find("image_id", &kind::IMAGE)?,
        })
    }
}

fn word<'o>(object: &'o Object, key: &str) -> Option<&'o str> {
    object.get(key)?.as_str()
}

fn volume_create(request: &Object, named: Named, services: &Services) -> Object {
    let get = |key: &str| request.get(key).cloned().unwrap_or_default();
    let or_null = |object: Option<Object>| object.map_or(Value::Null, Value::Object);
    let volume_type = match named.volume_type {
        Some(volume_type) => Value::Object(volume_type),
        // For null the task uses the default type; an empty object means no type.
        None if Settings::of(services).default_volume_type.is_some() => Value::Null,
        None => Value::Object(Object::new()),
    };
    let image_id = named.image.and_then(|mut image| image.remove("id"));
    [
        ("size", get("size")),
        ("name", get("name")),
        ("description", get("description")),
        ("metadata", get("metadata")),
        ("availability_zone", get("availability_zone")),
        ("scheduler_hints", get("scheduler_hints")),
        ("image_id", image_id.unwrap_or_default()),
        ("volume_type", volume_type),
        ("snapshot", or_null(named.snapshot)),
        ("source_volume", or_null(named.source_volume)),
        ("backup_source_volume", Value::Null),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
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
    fn only_a_request_that_names_something_needs_the_database() {
        let alone = |request: Value| {
            let request = request.as_object().unwrap();
            (VOLUME_CREATE.resolve_alone)(request, &Services::default())
        };
        let resolved = alone(json!({"size": 1, "image_id": null}))
            .unwrap()
            .unwrap();
        assert_eq!(resolved["size"], 1);
        assert_eq!(resolved["volume_type"], json!({}), "there is no default");
        assert_eq!(resolved["snapshot"], Value::Null);
        for key in NAMING {
            assert_eq!(alone(json!({key: "a"})).unwrap(), None, "{key}");
        }
        assert!(alone(json!({"sise": 1})).is_err());
    }

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
