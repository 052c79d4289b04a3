//! Digests of the settings that rules depend on. Hosts of one database need the same ones.

use std::collections::BTreeMap;
use std::time::Duration;

use cairn::manifest::Limits;
use cairn::value::Digest;
use cairn::{Value, records, volumes};
use serde_json::json;

use crate::exit::Failure;
use crate::input;
use crate::settings::Settings;

/// The digits of a digest that are kept: enough to notice a difference.
const DIGITS: usize = 16;

/// Returns the digest of each setting, by its name in `cairn.toml`.
///
/// # Errors
/// When the policy file cannot be read.
pub fn of(settings: &Settings) -> Result<BTreeMap<String, String>, Failure> {
    let mut values: BTreeMap<String, Value> = BTreeMap::new();
    values.insert("zone".to_owned(), zone(settings));
    values.insert(
        "default_volume_type".to_owned(),
        settings.default_volume_type.as_deref().into(),
    );
    values.insert(
        "idempotency.keep".to_owned(),
        time(settings.idempotency.keep),
    );
    let ceilings = settings.ceilings.clone().unwrap_or_else(Limits::most);
    for (table, object) in [
        ("quota", json!(settings.quota)),
        ("limits", json!(ceilings)),
    ] {
        let entries = object.as_object().into_iter().flatten();
        values.extend(entries.map(|(key, value)| (format!("{table}.{key}"), value.clone())));
    }
    values.insert("policy".to_owned(), policy(settings)?);
    let deliver = settings.deliver.as_ref();
    let identity = deliver.map(|deliver| {
        let parts = deliver.identity.iter();
        parts.map(|part| part.as_str()).collect::<Vec<_>>()
    });
    values.insert("deliver.identity".to_owned(), json!(identity));
    values.insert(
        "deliver.most".to_owned(),
        json!(deliver.map(|deliver| deliver.most)),
    );
    values.extend(written(settings));
    let digests = values.into_iter().map(|(name, value)| {
        let mut digest = Digest::of(value.to_string().as_bytes()).to_string();
        digest.truncate(DIGITS);
        (name, digest)
    });
    Ok(digests.collect())
}

fn zone(settings: &Settings) -> Value {
    settings
        .zone
        .as_deref()
        .unwrap_or(volumes::DEFAULT_ZONE)
        .into()
}

fn time(time: Duration) -> Value {
    json!(time.as_secs_f64())
}

/// Returns the text of the policy file; null without one.
fn policy(settings: &Settings) -> Result<Value, Failure> {
    let path = settings.policy.as_deref();
    let text = path
        .map(|path| input::text(path, "the policy"))
        .transpose()?;
    Ok(text.into())
}

/// Returns `[allow]` and the settings of domains as they are written; of a schema in a file its content.
fn written(settings: &Settings) -> impl Iterator<Item = (String, Value)> {
    let keys = settings
        .extensions
        .iter()
        .flat_map(|extension| extension.keys());
    let keys = keys.filter(|key| !volumes::CONFIG_KEYS.contains(key));
    let tables: Vec<&str> = keys.copied().chain(["allow"]).collect();
    let written = settings.origins.written().filter(|(name, _)| {
        let table = name.split('.').next().unwrap_or_default();
        tables.contains(&table)
    });
    let written: Vec<_> = written
        .map(|(name, written)| (name.to_owned(), written.value.clone()))
        .collect();
    // Another domain of this name may read the table otherwise.
    let setup = &settings.setup;
    let records = records::Settings::parse(&setup.text, &setup.file).unwrap_or_default();
    let schemas = records
        .collections
        .into_iter()
        .filter_map(|(name, collection)| {
            let schema = collection.schema?.json().clone();
            Some((format!("records.{name}.schema"), schema))
        });
    written.into_iter().chain(schemas)
}
