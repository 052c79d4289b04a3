//! Digests of the settings that rules depend on. Hosts of one database need the same ones.

use std::collections::BTreeMap;

use cairn_effects::domain::Domains;
use cairn_manifest::config::{DeliverConfig, written};
use cairn_manifest::manifest::Limits;
use cairn_model::error::Diagnostic;
use cairn_model::idempotency::IdempotencyConfig;
use cairn_model::value::{Digest, Value};
use cairn_sandbox::extension::{Extension, Setup};

/// The digits of a digest that are kept: enough to notice a difference.
const DIGITS: usize = 16;

/// The settings of a host that rules depend on.
pub struct Decisive<'a> {
    /// The settings file.
    pub setup: &'a Setup,
    /// The domains' own keys in it.
    pub extensions: &'a [Extension],
    /// The domains, as the store is opened with them.
    pub domains: &'a Domains,
    /// The text of the operator's policy; `None` without one.
    pub policy: Option<&'a str>,
    /// `[limits]`.
    pub ceilings: Option<&'a Limits>,
    /// `[idempotency]`.
    pub idempotency: IdempotencyConfig,
    /// `[deliver]`.
    pub deliver: Option<&'a DeliverConfig>,
}

impl Decisive<'_> {
    /// Returns the digest of each setting, by its name in `cairn.toml`: what
    /// [`PostgresConfig::settings`](cairn_store::postgres::PostgresConfig::settings) takes.
    ///
    /// # Errors
    /// The settings file is no TOML.
    pub fn digests(&self) -> Result<BTreeMap<String, String>, Diagnostic> {
        let mut values = BTreeMap::from([
            ("policy".to_owned(), Value::from(self.policy)),
            (
                "idempotency.keep".to_owned(),
                self.idempotency.keep.as_secs_f64().into(),
            ),
            ("deliver.identity".to_owned(), self.identity()),
            (
                "deliver.most".to_owned(),
                self.deliver.map(|deliver| deliver.most).into(),
            ),
        ]);
        let ceilings = self.ceilings.cloned().unwrap_or_else(Limits::most);
        values.extend(table("limits", &ceilings));
        values.extend(self.written()?);
        values.extend(of_volumes(self.domains));
        values.extend(of_records(self.domains));
        let digests = values.into_iter().map(|(name, value)| {
            let digest = digest(value.to_string().as_bytes());
            (name, digest)
        });
        Ok(digests.collect())
    }

    fn identity(&self) -> Value {
        let identity = self.deliver.map(|deliver| {
            let parts = deliver.identity.iter();
            parts.map(|part| part.as_str()).collect::<Vec<_>>()
        });
        identity.into()
    }

    /// Returns `[allow]` and the settings of domains as they are written, without those whose values in force are known.
    fn written(&self) -> Result<impl Iterator<Item = (String, Value)>, Diagnostic> {
        let known = keys_in_force(self.domains);
        let keys = self.extensions.iter().flat_map(|one| one.keys()).copied();
        let keys = keys.filter(|key| !known.contains(key));
        let tables: Vec<&str> = keys.chain(["allow"]).collect();
        let written = written(&self.setup.text, &self.setup.file)?.into_iter();
        Ok(written.filter(move |(name, _)| {
            let table = name.split('.').next().unwrap_or_default();
            tables.contains(&table)
        }))
    }
}

/// Returns the part of a digest that hosts compare.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let mut digest = Digest::of(bytes).to_string();
    digest.truncate(DIGITS);
    digest
}

/// Returns the entries of a table by their dotted names.
fn table(name: &str, entries: &impl serde::Serialize) -> Vec<(String, Value)> {
    let entries = match serde_json::to_value(entries) {
        Ok(Value::Object(entries)) => entries,
        _ => Default::default(),
    };
    let entries = entries.into_iter();
    entries
        .map(|(key, value)| (format!("{name}.{key}"), value))
        .collect()
}

/// Returns the keys of the settings that [`of_volumes`] returns.
fn keys_in_force(domains: &Domains) -> &'static [&'static str] {
    #[cfg(feature = "volumes")]
    if domains
        .services()
        .get::<cairn_volumes::Settings>()
        .is_some()
    {
        return cairn_volumes::CONFIG_KEYS;
    }
    let _ = domains;
    &[]
}

/// Returns the settings of block storage that are in force, wherever they were made.
#[cfg(feature = "volumes")]
fn of_volumes(domains: &Domains) -> Vec<(String, Value)> {
    let Some(settings) = domains.services().get::<cairn_volumes::Settings>() else {
        return Vec::new();
    };
    let zone = settings.default_zone.as_deref();
    let mut values = table("quota", &settings.quota);
    values.extend([
        (
            "zone".to_owned(),
            zone.unwrap_or(cairn_volumes::DEFAULT_ZONE).into(),
        ),
        (
            "default_volume_type".to_owned(),
            settings.default_volume_type.as_deref().into(),
        ),
    ]);
    values
}

#[cfg(not(feature = "volumes"))]
fn of_volumes(_: &Domains) -> Vec<(String, Value)> {
    Vec::new()
}

/// Returns the content of the schemas of records, which may be in files.
#[cfg(feature = "records")]
fn of_records(domains: &Domains) -> Vec<(String, Value)> {
    let settings = cairn_records::Settings::of(domains.services());
    let schemas = settings.collections.iter().filter_map(|(name, one)| {
        let schema = one.schema.as_ref()?.json().clone();
        Some((format!("records.{name}.schema"), schema))
    });
    schemas.collect()
}

#[cfg(not(feature = "records"))]
fn of_records(_: &Domains) -> Vec<(String, Value)> {
    Vec::new()
}
