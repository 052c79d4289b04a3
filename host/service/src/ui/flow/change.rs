//! A change of a row or a counter in words, and its inverse.

use cairn::effect::{Applied, Change};
use cairn::external::{TABLE as EXTERNALS, is_removal};
use cairn::rows::Tables;
use cairn::{Object, Value};

use crate::ui::text;

/// A change as the ledger shows it.
pub(super) struct Shown {
    pub kind: String,
    /// The key, as reports write it.
    pub key: String,
    /// The key, with the project of a counter.
    pub id: String,
    pub change: String,
    pub inverse: String,
}

/// Puts a change of an effect into words.
pub(super) fn shown(change: &Change, applied: &Applied, tables: &Tables) -> Shown {
    let noun = |table: &str| {
        let known = tables.get(table);
        known.map_or_else(|| table.to_owned(), |table| table.noun.to_owned())
    };
    match change {
        Change::Elsewhere(inner) => Shown {
            inverse: "none: an operator changed it".to_owned(),
            ..shown(inner, applied, tables)
        },
        Change::Count { table, key, by } => {
            let amounts = |sign: i64| {
                let amounts = by
                    .iter()
                    .map(|(column, by)| format!("{column} {:+}", by.saturating_mul(sign)));
                amounts.collect::<Vec<_>>().join(", ")
            };
            Shown {
                kind: noun(table),
                key: key.to_string(),
                id: key.to_string(),
                change: amounts(1),
                inverse: amounts(-1),
            }
        }
        Change::Row {
            table,
            id,
            before,
            after,
        } => {
            let hidden = tables
                .get(table)
                .map_or(&[][..], |table| table.hooks.hidden);
            let columns = |row: &Object| {
                let columns = row
                    .iter()
                    .filter(|(name, _)| {
                        !hidden.contains(&name.as_str()) || *table == EXTERNALS.name
                    })
                    .map(|(name, value)| format!("{name} {}", text::cell(value)));
                columns.collect::<Vec<_>>().join(", ")
            };
            let act = *table == EXTERNALS.name;
            let (change, inverse) = match (before, after) {
                (None, None) => ("nothing".to_owned(), "none".to_owned()),
                (None, Some(after)) if act => (
                    format!(
                        "make it: {}",
                        after.get("spec").map(text::cell).unwrap_or_default()
                    ),
                    "ask its provider to remove it".to_owned(),
                ),
                (Some(_), None) if act && is_removal(applied) => (
                    "remove it".to_owned(),
                    "none: the flow goes only forward from here".to_owned(),
                ),
                (None, Some(after)) => (format!("new: {}", columns(after)), "remove it".to_owned()),
                (Some(before), None) => (
                    "removed".to_owned(),
                    format!("put it back: {}", columns(before)),
                ),
                (Some(before), Some(after)) => changed(before, after, hidden),
            };
            Shown {
                kind: noun(table),
                key: id.to_string(),
                id: id.to_string(),
                change,
                inverse,
            }
        }
        // Of a newer version of the library.
        other => Shown {
            kind: noun(other.table()),
            key: String::new(),
            id: String::new(),
            change: "changed".to_owned(),
            inverse: "-".to_owned(),
        },
    }
}

/// Returns the changed columns, and how each is restored.
fn changed(before: &Object, after: &Object, hidden: &[&str]) -> (String, String) {
    let null = Value::Null;
    let mut change = Vec::new();
    let mut inverse = Vec::new();
    let names = after
        .keys()
        .chain(before.keys().filter(|name| !after.contains_key(*name)));
    for name in names.filter(|name| !hidden.contains(&name.as_str())) {
        let old = text::cell(before.get(name).unwrap_or(&null));
        let new = text::cell(after.get(name).unwrap_or(&null));
        change.push(format!("{name} {old} → {new}"));
        inverse.push(format!("{name} {old}"));
    }
    match change.is_empty() {
        true => ("its version".to_owned(), "none needed".to_owned()),
        false => (change.join(", "), format!("back to {}", inverse.join(", "))),
    }
}
