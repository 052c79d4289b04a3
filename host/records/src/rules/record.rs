//! Gets, puts and removes single records.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use cairn_model::id::FlowId;
use cairn_model::value::{self, Value};

use super::place::{Place, settings};
use super::sight::Sight;
use super::tables::Record;
use super::usage::{blank, check_room, exceeded, next_version, usage, write};
use crate::settings::{Collection, Reads};
use cairn_effects::effect::Change;
use cairn_effects::rows::{Row as _, Rows, Stop, Text};
use cairn_effects::rules::{Effect, LookUp};

/// The condition under which a change is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// None.
    #[default]
    Any,
    /// The record does not exist.
    Absent,
    /// The record exists in this version.
    Version(u64),
}

/// A record as a flow sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// The version of its value, unique among all values of the collection.
    pub version: u64,
}

/// Puts a value under a key. The flow holds the key until it ends.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordPut {
    /// The collection.
    pub collection: String,
    /// The key.
    pub key: String,
    /// The value.
    pub value: Value,
    /// The condition.
    pub expect: Expect,
}

/// Removes the record of a key. The flow holds the key until it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordRemove {
    /// The collection.
    pub collection: String,
    /// The key.
    pub key: String,
    /// The condition.
    pub expect: Expect,
}

/// Gets the record of a key; `None` if the flow sees none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordGet {
    /// The collection.
    pub collection: String,
    /// The key.
    pub key: String,
}

impl Effect for RecordPut {
    const NAME: &'static str = "record_put";
    const FUNCTION: &'static str = "records.put";
    /// The version of the value.
    type Answer = u64;

    fn arguments(&self) -> Value {
        json!({"collection": self.collection, "key": self.key, "value": self.value, "expect": self.expect})
    }

    fn apply(&self, rows: &mut Rows<'_>) -> Result<u64, Stop> {
        let place = Place::own(rows, &self.collection, &self.key)?;
        let settings = settings(rows, &self.collection)?;
        let found = Found::own(rows, &place, self.expect)?;
        let text = value::text(&self.value);
        check_value(&place, settings, &self.value, &text)?;
        let version = next_version(rows, &place)?;
        let sight = found.written(rows, Some(text.as_str().into()), version);
        let new = found.with(rows, &place, &sight);
        let usage = usage(rows, &place)?;
        check_room(&place, &settings.limits, &usage, found.row.as_deref(), &new)?;
        write(rows, &place, found.row.as_ref(), Some(new))?;
        note(rows, &place, &found.seen, &sight);
        Ok(version.unsigned_abs())
    }
}

impl Effect for RecordRemove {
    const NAME: &'static str = "record_remove";
    const FUNCTION: &'static str = "records.remove";
    type Answer = ();

    fn arguments(&self) -> Value {
        json!({"collection": self.collection, "key": self.key, "expect": self.expect})
    }

    fn apply(&self, rows: &mut Rows<'_>) -> Result<(), Stop> {
        let place = Place::own(rows, &self.collection, &self.key)?;
        settings(rows, &self.collection)?;
        let found = Found::own(rows, &place, self.expect)?;
        if found.seen.value.is_none() {
            let message = format!(
                "the collection `{}` has no record `{}` to remove",
                place.collection, place.key
            );
            return Err(place.error("RecordNotFound", message).into());
        }
        let version = next_version(rows, &place)?;
        let sight = found.written(rows, None, version);
        let held = found.with(rows, &place, &sight);
        // An operator's removal is published at once, so no row is left.
        let new = held.flow.is_some().then_some(held);
        write(rows, &place, found.row.as_ref(), new)?;
        note(rows, &place, &found.seen, &sight);
        Ok(())
    }
}

impl LookUp for RecordGet {
    const FUNCTION: Option<&'static str> = Some("records.get");
    type Answer = Option<Entry>;

    fn arguments(&self) -> Value {
        json!({"collection": self.collection, "key": self.key})
    }

    fn look_up(&self, rows: &mut Rows<'_>) -> Result<Option<Entry>, Stop> {
        let place = Place::own(rows, &self.collection, &self.key)?;
        let reads = settings(rows, &self.collection)?.reads;
        let flow = flow(rows);
        let row = rows.get::<Record>(place.row_key())?;
        Ok(row.and_then(|row| entry(&row.key, &row.seen(flow, reads))))
    }
}

/// Returns the flow on whose behalf a rule runs.
pub(super) fn flow(rows: &Rows<'_>) -> Option<FlowId> {
    rows.by().call.map(|call| call.flow)
}

/// Makes an entry of a sight; `None` when it has no value.
pub(super) fn entry(key: &str, sight: &Sight) -> Option<Entry> {
    let text = sight.value.as_deref()?;
    Some(Entry {
        key: key.to_owned(),
        value: serde_json::from_str(text).unwrap_or(Value::Null),
        version: sight.version.unsigned_abs(),
    })
}

/// A record that passed the checks before a write: no other flow holds it, and it meets the flow's condition.
struct Found {
    row: Option<Arc<Record>>,
    seen: Sight,
}

impl Found {
    fn own(rows: &mut Rows<'_>, place: &Place, expect: Expect) -> Result<Self, Stop> {
        rows.prefetch([place.row(), place.usage()])?;
        let row = rows.get::<Record>(place.row_key())?;
        let flow = flow(rows);
        if let Some(holder) = row.as_ref().and_then(|row| row.other_holder(flow)) {
            return Err(busy(place, holder, flow.is_none()));
        }
        let seen = row.as_ref().map(|row| row.seen(flow, Reads::Published));
        let seen = seen.unwrap_or_default();
        check_expected(place, expect, &seen)?;
        Ok(Self { row, seen })
    }

    /// Returns the sight of the flow after it has written.
    fn written(&self, rows: &Rows<'_>, value: Option<Text>, version: i64) -> Sight {
        Sight {
            value,
            version,
            task: rows.by().call.map(|call| call.task.to_string().into()),
        }
    }

    /// Returns the record with this value: as its pending value in a flow, as its published value for an operator.
    fn with(&self, rows: &Rows<'_>, place: &Place, sight: &Sight) -> Record {
        let row = self.row.as_deref().cloned();
        let mut new = row.unwrap_or_else(|| blank(place));
        new.flow = flow(rows);
        match new.flow {
            Some(_) => new.set_held(sight),
            None => {
                new.set_published(sight);
                new.updated_at = Some(rows.now());
            }
        }
        new
    }
}

/// Makes the error of a write to a key that another flow holds. Only operators are told which flow.
fn busy(place: &Place, holder: FlowId, is_operator: bool) -> Stop {
    let Place {
        collection, key, ..
    } = place;
    if !is_operator {
        let message = format!(
            "`{key}` of the collection `{collection}` is held by another flow until that ends: try again; `cairn record show {collection} \
             {key}` names the flow"
        );
        return place.error("Busy", message).into();
    }
    let message = format!(
        "`{key}` of the collection `{collection}` is held by flow {holder} until that ends: `cairn flow show {holder}` shows its state, \
         and `cairn record release {collection} {key} --flow {holder} --reason REASON` frees a key of a flow that cannot go on"
    );
    place
        .error("Busy", message)
        .with("flow", holder.to_string())
        .into()
}

fn check_expected(place: &Place, expect: Expect, seen: &Sight) -> Result<(), Stop> {
    let found = seen.value.as_ref().map(|_| seen.version.unsigned_abs());
    let expected = match expect {
        Expect::Any => return Ok(()),
        Expect::Absent => None,
        Expect::Version(version) => Some(version),
    };
    if found == expected {
        return Ok(());
    }
    let told = |version: Option<u64>| match version {
        Some(version) => format!("version {version}"),
        None => "no record".to_owned(),
    };
    let message = format!(
        "`{}` of the collection `{}` has {}, and {} was expected: get it again",
        place.key,
        place.collection,
        told(found),
        told(expected)
    );
    Err(place
        .error("VersionConflict", message)
        .with("expected", expected)
        .with("found", found)
        .into())
}

fn check_value(
    place: &Place,
    settings: &Collection,
    value: &Value,
    text: &str,
) -> Result<(), Stop> {
    let most = settings.limits.max_bytes;
    if text.len() as u64 > most {
        let message = format!(
            "the value for `{}` of the collection `{}` has {} bytes of JSON, and the most is {most}: the operator sets `max_bytes` of \
             [records.{}]",
            place.key,
            place.collection,
            text.len(),
            place.collection
        );
        let counted = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        return Err(exceeded(
            place,
            message,
            "max_bytes",
            counted(most),
            counted(text.len() as u64),
        ));
    }
    let violations = settings
        .schema
        .as_ref()
        .map_or_else(Vec::new, |schema| schema.violations(value));
    if violations.is_empty() {
        return Ok(());
    }
    let message = format!(
        "the value for `{}` does not fit the schema of the collection `{}`: {}",
        place.key,
        place.collection,
        violations.join("; ")
    );
    Err(place
        .error("InvalidValue", message)
        .with("violations", violations)
        .into())
}

fn note(rows: &mut Rows<'_>, place: &Place, before: &Sight, after: &Sight) {
    rows.note(Change::Row {
        table: Record::TABLE.name.into(),
        id: place.row_key(),
        before: before.noted(),
        after: after.noted(),
    });
}
