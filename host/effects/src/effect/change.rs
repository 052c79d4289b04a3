use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};
use smallvec::SmallVec;

use cairn_model::value::Object;

use crate::key::Key;

/// A name in the journal: of a table, a column, or a kind of effect. Names of a program's own domains are static.
pub type Name = Cow<'static, str>;

/// The amounts added to the counters of one row: column and amount, in the order of the columns.
pub type Counts = SmallVec<[(Name, i64); 2]>;

/// One change that an effect made. Its inverse is the same change read backwards, from `after` to `before`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", from = "WrittenChange")]
#[non_exhaustive]
pub enum Change {
    /// Counters changed. Undone by subtracting the same amounts, whatever the counters are by then.
    Count {
        /// The table.
        table: Name,
        /// The row's key.
        key: Key,
        /// The amounts added.
        #[serde(serialize_with = "as_map")]
        by: Counts,
    },
    /// A row changed. Undone by compare-and-set: only while the row still equals `after`.
    Row {
        /// The table.
        table: Name,
        /// The row's key.
        id: Key,
        /// The changed columns before the change (before-image); `None` when there was no row.
        before: Option<Object>,
        /// The changed columns after it; `None` when the row was removed.
        after: Option<Object>,
    },
    /// An operator's earlier change to a row of the flow, which the flow records: for example, a volume was deleted and its
    /// quota returned. It counts in the flow's net change. Undoing it changes nothing.
    Elsewhere(Box<Self>),
}

/// A change as a journal holds it.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum WrittenChange {
    /// The form of a count in journals up to schema 4, which had only these counters.
    Usage {
        project: String,
        resource: String,
        #[serde(default)]
        in_use: i64,
        #[serde(default)]
        reserved: i64,
    },
    Count {
        table: String,
        key: Key,
        by: BTreeMap<String, i64>,
    },
    Row {
        table: String,
        id: Key,
        before: Option<Object>,
        after: Option<Object>,
    },
    Elsewhere(Box<Change>),
}

impl From<WrittenChange> for Change {
    fn from(change: WrittenChange) -> Self {
        match change {
            WrittenChange::Usage {
                project,
                resource,
                in_use,
                reserved,
            } => Self::Count {
                table: "quota_usages".into(),
                key: Key::from([project, resource]),
                by: counts([("in_use", in_use), ("reserved", reserved)]),
            },
            WrittenChange::Count { table, key, by } => Self::Count {
                table: table.into(),
                key,
                by: by
                    .into_iter()
                    .map(|(column, by)| (column.into(), by))
                    .collect(),
            },
            WrittenChange::Row {
                table,
                id,
                before,
                after,
            } => Self::Row {
                table: table.into(),
                id,
                before,
                after,
            },
            WrittenChange::Elsewhere(change) => Self::Elsewhere(change),
        }
    }
}

/// Returns the amounts added to counters, without zeros.
pub fn counts(by: impl IntoIterator<Item = (&'static str, i64)>) -> Counts {
    let by = by.into_iter().filter(|(_, by)| *by != 0);
    by.map(|(column, by)| (Name::from(column), by)).collect()
}

fn as_map<S: Serializer>(by: &Counts, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(by.iter().map(|(column, by)| (column, by)))
}

impl Change {
    /// Returns the table whose row changed.
    pub fn table(&self) -> &str {
        match self {
            Self::Count { table, .. } | Self::Row { table, .. } => table,
            Self::Elsewhere(change) => change.table(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn read(written: serde_json::Value) -> Change {
        serde_json::from_value(written).unwrap()
    }

    #[test]
    fn a_change_is_read_as_it_was_written() {
        let rows = [
            Change::Row {
                table: "notes".into(),
                id: Key::from("n"),
                before: None,
                after: json!({"text": "a"}).as_object().cloned(),
            },
            Change::Count {
                table: "sums".into(),
                key: Key::from(["a", "b"].map(str::to_owned)),
                by: counts([("one", -1), ("two", 0)]),
            },
        ];
        for change in rows {
            for change in [change.clone(), Change::Elsewhere(Box::new(change))] {
                let written = serde_json::to_value(&change).unwrap();
                assert_eq!(read(written), change);
            }
        }
    }

    #[test]
    fn a_key_of_one_text_is_written_as_that_text() {
        let change = Change::Row {
            table: "notes".into(),
            id: Key::from("n"),
            before: None,
            after: None,
        };
        let written = json!({"row": {"table": "notes", "id": "n", "before": null, "after": null}});
        assert_eq!(serde_json::to_value(&change).unwrap(), written);
    }

    #[test]
    fn a_journal_of_the_first_stage_is_read() {
        let change =
            read(json!({"usage": {"project": "p", "resource": "volumes", "reserved": -2}}));
        let expected = Change::Count {
            table: "quota_usages".into(),
            key: Key::from(["p", "volumes"].map(str::to_owned)),
            by: counts([("reserved", -2)]),
        };
        assert_eq!(change, expected);
    }
}
