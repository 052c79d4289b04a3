//! Maintains the usage of a collection with every change of a record, so that checking a limit needs no scan.

use std::sync::Arc;

use super::place::Place;
use super::tables::{Record, Usage};
use crate::settings::Limits;
use cairn_effects::rows::{Rows, Stop, Text};

/// The amounts that a record counts for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Footprint {
    pub(super) keys: i64,
    pub(super) bytes: i64,
}

impl Footprint {
    /// Counts a record. A held key counts for the longer of its two values, because either may be published.
    pub(super) fn of(record: Option<&Record>) -> Self {
        let Some(record) = record else {
            return Self::default();
        };
        let values = [&record.value, &record.pending].into_iter().flatten();
        let longest = values.map(|json| json.0.len()).max().unwrap_or(0);
        Self {
            keys: 1,
            bytes: i64::try_from(longest).unwrap_or(i64::MAX),
        }
    }
}

/// Returns the usage of a collection; inserts the row if it does not exist.
///
/// # Errors
/// [`Stop::Missing`].
pub(super) fn usage(rows: &mut Rows<'_>, place: &Place) -> Result<Arc<Usage>, Stop> {
    let key = place.usage_key();
    if let Some(found) = rows.get::<Usage>(key.clone())? {
        return Ok(found);
    }
    let [project_id, collection] = key;
    Ok(rows.insert(Usage {
        project_id,
        collection,
        ..Usage::default()
    }))
}

/// Returns a version that no record of the collection ever had.
pub(super) fn next_version(rows: &mut Rows<'_>, place: &Place) -> Result<i64, Stop> {
    let old = usage(rows, place)?;
    let versions = old.versions.saturating_add(1);
    let new = Usage {
        versions,
        ..Usage::clone(&old)
    };
    rows.update(&old, new);
    Ok(versions)
}

/// Inserts, replaces or removes a record, and updates the usage.
pub(super) fn write(
    rows: &mut Rows<'_>,
    place: &Place,
    old: Option<&Arc<Record>>,
    new: Option<Record>,
) -> Result<(), Stop> {
    let before = Footprint::of(old.map(|old| &**old));
    let after = Footprint::of(new.as_ref());
    if before != after {
        let usage = usage(rows, place)?;
        let counted = Usage {
            key_count: usage.key_count + after.keys - before.keys,
            bytes: usage.bytes + after.bytes - before.bytes,
            ..Usage::clone(&usage)
        };
        rows.update(&usage, counted);
    }
    match (old, new) {
        (Some(old), Some(new)) => drop(rows.update(old, new)),
        (None, Some(new)) => drop(rows.insert(new)),
        (Some(old), None) => rows.remove(old),
        (None, None) => {}
    }
    Ok(())
}

/// Makes an empty record at a place.
pub(super) fn blank(place: &Place) -> Record {
    Record {
        project_id: Text::clone(&place.project),
        collection: Text::clone(&place.collection),
        key: Text::clone(&place.key),
        ..Record::default()
    }
}

/// Refuses a record that would exceed a limit of the collection.
///
/// # Errors
/// `LimitExceeded`, with the name and value of the limit and the amount that is wanted.
pub(super) fn check_room(
    place: &Place,
    limits: &Limits,
    usage: &Usage,
    old: Option<&Record>,
    new: &Record,
) -> Result<(), Stop> {
    let (before, after) = (Footprint::of(old), Footprint::of(Some(new)));
    let each = [
        (
            "max_keys",
            limits.max_keys,
            usage.key_count,
            before.keys,
            after.keys,
            "keys",
        ),
        (
            "max_total",
            limits.max_total,
            usage.bytes,
            before.bytes,
            after.bytes,
            "bytes",
        ),
    ];
    for (name, limit, used, before, after, unit) in each {
        let Some(limit) = limit.and_then(|limit| i64::try_from(limit).ok()) else {
            continue;
        };
        let wanted = used + after - before;
        if after <= before || wanted <= limit {
            continue;
        }
        let message = format!(
            "the collection `{}` has no room for `{}`: with it there would be {wanted} {unit}, and the most is {limit}; remove records, or \
             have the operator raise `{name}` of [records.{}]",
            place.collection, place.key, place.collection
        );
        return Err(exceeded(place, message, name, limit, wanted));
    }
    Ok(())
}

pub(super) fn exceeded(
    place: &Place,
    message: String,
    limit: &str,
    most: i64,
    wanted: i64,
) -> Stop {
    place
        .error("LimitExceeded", message)
        .with("limit", limit)
        .with("most", most)
        .with("wanted", wanted)
        .into()
}
