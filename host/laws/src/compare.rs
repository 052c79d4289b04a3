//! Compares two dumps of a database.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use cairn::Value;
use cairn::store::view::{Dump, DumpedRow};
use serde::{Deserialize, Serialize, de};

/// Columns that record how a row was written. They are not compared.
const BOOKKEEPING: [&str; 2] = ["version", "flow"];

/// A difference between two dumps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The table.
    pub table: String,
    /// The row: its id, or project and resource of a usage.
    pub row: String,
    /// The column; `None` if the whole row was added or removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The earlier value; null for an added row.
    pub before: Value,
    /// The later value; null for a removed row.
    pub after: Value,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            table,
            row,
            column,
            before,
            after,
        } = self;
        match column {
            Some(column) => write!(f, "{table}/{row}: {column} was {before}, and is {after}"),
            None if before.is_null() => write!(f, "{table}/{row} is new: {after}"),
            None => write!(f, "{table}/{row} is gone: {before}"),
        }
    }
}

/// A difference that a revert leaves on purpose: `TABLE/ROW` or `TABLE/ROW.COLUMN`. A row is an id, or PROJECT/RESOURCE of a usage; `*`
/// is every row, and `new` is every added row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    table: String,
    row: String,
    column: Option<String>,
}

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let form = "write TABLE/ROW or TABLE/ROW.COLUMN, such as volumes/*.status";
        let wrong = || de::Error::custom(format!("`{text}` names nothing to keep: {form}"));
        let (table, rest) = text.split_once('/').ok_or_else(wrong)?;
        let (row, column) = match rest.rsplit_once('.') {
            Some((row, column)) => (row, Some(column)),
            None => (rest, None),
        };
        if table.is_empty() || row.is_empty() || column == Some("") {
            return Err(wrong());
        }
        Ok(Self {
            table: table.to_owned(),
            row: row.to_owned(),
            column: column.map(str::to_owned),
        })
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.table, self.row)?;
        match &self.column {
            Some(column) => write!(f, ".{column}"),
            None => Ok(()),
        }
    }
}

impl Keep {
    /// Returns whether this includes the difference.
    pub(crate) fn covers(&self, difference: &Difference) -> bool {
        let is_new = difference.column.is_none() && difference.before.is_null();
        self.table == difference.table
            && match self.row.as_str() {
                "*" => true,
                "new" => is_new,
                row => row == difference.row,
            }
            && (self.column.is_none() || self.column == difference.column)
    }
}

/// Returns the differences between two dumps. A closed reservation counts as absent.
pub(crate) fn differences(before: &Dump, after: &Dump) -> Vec<Difference> {
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let mut found = Vec::new();
    for key @ (table, row) in keys {
        let row_of = |dump: &Dump| dump.get(key).filter(|row| !is_closed(table, row)).cloned();
        let (before, after) = (row_of(before), row_of(after));
        let of = |column: Option<&str>, before: Value, after: Value| Difference {
            table: table.clone(),
            row: row.clone(),
            column: column.map(str::to_owned),
            before,
            after,
        };
        match (before, after) {
            (None, None) => {}
            // A missing usage counts as zero.
            (before, after) if table == "quota_usages" => {
                for column in ["in_use", "reserved"] {
                    let count = |row: &Option<DumpedRow>| {
                        row.as_ref()
                            .and_then(|row| row.get(column).cloned())
                            .unwrap_or_else(|| Value::from(0))
                    };
                    let (before, after) = (count(&before), count(&after));
                    if before != after {
                        found.push(of(Some(column), before, after));
                    }
                }
            }
            (None, Some(row)) => found.push(of(None, Value::Null, shown(row))),
            (Some(row), None) => found.push(of(None, shown(row), Value::Null)),
            (Some(before), Some(after)) => {
                for (column, value) in after {
                    let earlier = before.get(&column).cloned().unwrap_or_default();
                    if value != earlier && !BOOKKEEPING.contains(&column.as_str()) {
                        found.push(of(Some(&column), earlier, value));
                    }
                }
            }
        }
    }
    found
}

fn is_closed(table: &str, row: &DumpedRow) -> bool {
    table == "reservations" && row.get("state").is_some_and(|state| state != "open")
}

/// Returns a row without nulls and bookkeeping columns.
fn shown(row: DumpedRow) -> Value {
    row.into_iter()
        .filter(|(column, value)| !value.is_null() && !BOOKKEEPING.contains(&column.as_str()))
        .collect()
}

/// Replaces ids, which differ between runs, by stable names in a dump.
pub(crate) fn renamed(dump: &Dump, names: &BTreeMap<String, String>) -> Dump {
    let text = |text: &str| rename(text, names);
    let rows = dump.iter().map(|((table, key), row)| {
        let columns = row.iter().map(|(column, value)| {
            let value = match value {
                Value::String(value) => Value::String(text(value)),
                other => other.clone(),
            };
            (column.clone(), value)
        });
        ((table.clone(), text(key)), columns.collect())
    });
    rows.collect()
}

/// Replaces ids, which differ between runs, by stable names in a text.
pub(crate) fn rename(text: &str, names: &BTreeMap<String, String>) -> String {
    names.iter().fold(text.to_owned(), |text, (id, name)| {
        if text.contains(id.as_str()) {
            text.replace(id.as_str(), name)
        } else {
            text
        }
    })
}
