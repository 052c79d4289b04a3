use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use cairn_effects::rows::Services;
use cairn_manifest::plan::Schema;
use cairn_model::error::TaskError;
use cairn_model::value::Value;

/// What an operator sets for records: the collections that there are, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// `[records.NAME]`.
    pub collections: BTreeMap<String, Collection>,
}

/// One collection. Every project has its own records in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Collection {
    /// What a value must be; `None` takes every JSON value.
    pub schema: Option<ValueSchema>,
    /// How much it holds.
    pub limits: Limits,
    /// What a flow sees of a key that another flow holds.
    pub reads: Reads,
    /// Its counters, by name.
    pub counters: BTreeMap<String, Bounds>,
    /// Names of its sequences.
    pub sequences: BTreeSet<String>,
}

/// How much one project may keep in a collection. What unfinished flows have put counts; what they have removed counts until it is
/// published.
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

/// What a flow sees of a key that another flow holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reads {
    /// The value of before, until the other flow has succeeded.
    #[default]
    Published,
    /// What the other flow has put, at once: for locks and leases.
    Latest,
}

/// Between which numbers a counter stays, whatever becomes of unfinished flows.
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

/// A JSON schema of values. Two are equal when they were written alike.
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
    /// Why it cannot be used: the rest of a sentence that begins "the schema cannot be used:".
    pub fn new(written: Value) -> Result<Self, String> {
        let compiled = Arc::new(Schema::compile(&written)?);
        Ok(Self { written, compiled })
    }

    /// Returns what is wrong with a value, each with its place; empty when it fits.
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
    /// `CollectionNotFound` when no operator has set it up, with what to add.
    pub fn collection(&self, name: &str) -> Result<&Collection, TaskError> {
        self.collections.get(name).ok_or_else(|| {
            let shown = shown(name);
            let message = format!(
                "there is no collection `{shown}`: the operator adds [records.{shown}] to cairn.toml"
            );
            TaskError::new("CollectionNotFound", message).with("collection", name)
        })
    }

    /// Finds the settings among the services of a host; without any there are no collections.
    pub fn of(services: &Services) -> &Self {
        static NONE: OnceLock<Settings> = OnceLock::new();
        services
            .get()
            .unwrap_or_else(|| NONE.get_or_init(Self::default))
    }
}

/// Shortens a text of others for a message.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 120;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
