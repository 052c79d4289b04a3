use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use cairn_effects::rows::Services;
use cairn_manifest::plan::Schema;
use cairn_model::error::TaskError;
use cairn_model::value::Value;

/// The operator's settings for records: the collections, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The tables `[records.NAME]`.
    pub collections: BTreeMap<String, Collection>,
}

/// A collection. Every project has its own records in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Collection {
    /// The schema of values; `None` allows every JSON value.
    pub schema: Option<ValueSchema>,
    /// Its limits.
    pub limits: Limits,
    /// How a flow reads a key that another flow holds.
    pub reads: Reads,
    /// Its counters, by name.
    pub counters: BTreeMap<String, Bounds>,
    /// Names of its sequences.
    pub sequences: BTreeSet<String>,
}

/// The limits of one project in a collection. Values that unfinished flows have put count, and values that they have removed count until
/// the removal is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one value, as compact JSON.
    pub max_bytes: u64,
    /// Number of records; `None` is unlimited.
    pub max_keys: Option<u64>,
    /// Bytes of all values together; `None` is unlimited.
    pub max_total: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 10,
            max_keys: None,
            max_total: None,
        }
    }
}

/// How a flow reads a key that another flow holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reads {
    /// The published value, until the other flow has succeeded.
    #[default]
    Published,
    /// The other flow's pending change, at once: for locks and leases.
    Latest,
}

/// The bounds of a counter, which hold in every outcome of unfinished flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The least.
    pub min: i64,
    /// The most.
    pub max: i64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            min: i64::MIN,
            max: i64::MAX,
        }
    }
}

/// A JSON schema of values. Two are equal when their JSON is equal.
#[derive(Clone, Debug)]
pub struct ValueSchema {
    written: Value,
    compiled: Arc<Schema>,
}

impl PartialEq for ValueSchema {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl ValueSchema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// The reason why it cannot be used, to follow "the schema cannot be used:".
    pub fn new(written: Value) -> Result<Self, String> {
        let compiled = Arc::new(Schema::compile(&written)?);
        Ok(Self { written, compiled })
    }

    /// Returns the schema as it was written.
    pub fn json(&self) -> &Value {
        &self.written
    }

    /// Returns the violations of a value, each with its place; empty when it matches.
    pub fn violations(&self, value: &Value) -> Vec<String> {
        let violations = self.compiled.check(value).into_iter();
        violations
            .map(|violation| match violation.pointer.as_str() {
                "" => violation.message,
                pointer => format!("`{pointer}`: {}", violation.message),
            })
            .collect()
    }
}

impl Settings {
    /// Finds a collection.
    ///
    /// # Errors
    /// `CollectionNotFound` when the operator has not set it up, with the table to add.
    pub fn collection(&self, name: &str) -> Result<&Collection, TaskError> {
        self.collections.get(name).ok_or_else(|| {
            let shown = shown(name);
            let message = format!(
                "there is no collection `{shown}`: the operator adds [records.{shown}] to cairn.toml"
            );
            TaskError::new("CollectionNotFound", message).with("collection", name)
        })
    }

    /// Returns the settings among the services of a host, or settings without collections if records were not set up.
    pub fn of(services: &Services) -> &Self {
        static NONE: OnceLock<Settings> = OnceLock::new();
        services
            .get()
            .unwrap_or_else(|| NONE.get_or_init(Self::default))
    }
}

/// Shortens a text for a message, because it may come from outside.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 120;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
