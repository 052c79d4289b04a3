//! Adds changes up to the net change of a flow.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use cairn_model::value::{Object, Value};

use crate::effect::{Change, Name};
use crate::key::Key;
use crate::rows::{Table, Tables};

/// The net change of a flow: the sum of its changes and of the applied inverses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Net {
    counters: BTreeMap<(Name, Key, Name), i64>,
    rows: BTreeMap<(Name, Key), Row>,
}

#[derive(Clone, Debug, PartialEq)]
struct Row {
    /// The changed columns before the first change; `None` when there was no row.
    before: Option<Object>,
    /// The same columns after the last change.
    after: Option<Object>,
}

/// A row or counter that a rollback left different from the state before the flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Left {
    /// Its kind, the noun of its table: `volume`, `key`, `cast`, `usage`. The name of the table if no domain has it.
    pub kind: String,
    /// Its id; for a counter the counted resource.
    pub id: String,
    /// The project of a counter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The state before; null when it did not exist.
    pub before: Value,
    /// The state after; null when it no longer exists. For a counter the amount by which it grew.
    pub after: Value,
    /// Why it remains; `None` in reports of older versions.
    #[serde(flatten)]
    pub why: Option<Why>,
}

/// Why a rollback left a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// The fate of the change.
    pub fate: Fate,
    /// The task that made it; omitted when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The reason, in one sentence.
    pub reason: String,
}

/// The fate of a change that a rollback left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fate {
    /// It belongs to a reverted task: the revert's answer kept it, or the revert made it.
    Kept,
    /// It was not undone.
    NotUndone,
    /// It is a message that was sent.
    Sent,
    /// It is an object outside the database, and not known whether it is there.
    Unknown,
}

/// A row or counter that was changed and restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undone {
    /// Its kind, as in [`Left`].
    pub kind: String,
    /// Its id; for a counter the counted resource.
    pub id: String,
    /// The project of a counter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

impl Net {
    /// Adds one change.
    pub fn add(&mut self, change: &Change) {
        match change {
            Change::Elsewhere(change) => self.add(change),
            Change::Count { table, key, by } => {
                for (column, by) in by {
                    let key = (table.clone(), key.clone(), column.clone());
                    let sum = self.counters.entry(key).or_default();
                    *sum = sum.saturating_add(*by);
                }
            }
            Change::Row {
                table,
                id,
                before,
                after,
            } => {
                let row = self
                    .rows
                    .entry((table.clone(), id.clone()))
                    .or_insert_with(|| Row {
                        before: before.clone(),
                        after: before.clone(),
                    });
                // The first change of a column gives its value before the flow.
                if let (Some(first), Some(before)) = (&mut row.before, before) {
                    for (column, value) in before {
                        if row
                            .after
                            .as_ref()
                            .is_none_or(|now| !now.contains_key(column))
                        {
                            first.entry(column).or_insert_with(|| value.clone());
                        }
                    }
                }
                match (&mut row.after, after) {
                    (Some(now), Some(after)) => {
                        now.extend(after.iter().map(|(c, v)| (c.clone(), v.clone())));
                    }
                    (now, after) => now.clone_from(after),
                }
            }
        }
    }

    /// Adds an undone change, which adds up to zero but is listed as undone.
    pub fn add_undone(&mut self, change: &Change) {
        match change {
            Change::Elsewhere(change) => self.add_undone(change),
            Change::Count { table, key, by } => {
                for (column, _) in by {
                    let key = (table.clone(), key.clone(), column.clone());
                    self.counters.entry(key).or_default();
                }
            }
            Change::Row {
                table, id, before, ..
            } => {
                let row = self.rows.entry((table.clone(), id.clone()));
                row.or_insert_with(|| Row {
                    before: before.clone(),
                    after: before.clone(),
                });
            }
        }
    }

    /// Returns the differences from the state before; empty when the rollback is clean. Rows that their table counts as absent are
    /// treated as missing. Rows of unknown tables always count as different, and are listed unchanged.
    pub fn left(&self, tables: &Tables) -> Vec<Left> {
        self.different(tables).map(|(_, left)| left).collect()
    }

    /// Returns the differences as [`left`](Self::left) does, each with its table and key.
    pub(crate) fn different<'n>(
        &'n self,
        tables: &'n Tables,
    ) -> impl Iterator<Item = (Place<'n>, Left)> {
        let rows = self.rows.iter().filter_map(|((table, id), row)| {
            let left = match tables.get(table) {
                Some(table) => row.left(table, id)?,
                None => row.unknown(table, id),
            };
            Some(((&**table, id), left))
        });
        let counters = self
            .counters
            .iter()
            .filter_map(|((table, key, column), by)| {
                let known = tables.get(table);
                let is_left = known.is_none() || *by != 0;
                is_left.then(|| {
                    let left = counted(table, known, key, column, *by);
                    ((&**table, key), left)
                })
            });
        rows.chain(counters)
    }

    /// Returns the rows and counters that were changed and restored.
    pub fn undone(&self, tables: &Tables) -> Vec<Undone> {
        let rows = self.rows.iter().filter_map(|((table, id), row)| {
            let table = tables.get(table)?;
            row.left(table, id).is_none().then(|| Undone {
                kind: table.noun.to_owned(),
                id: id.to_string(),
                project: None,
            })
        });
        let counters = self.counters.iter().filter(|(_, by)| **by == 0).filter_map(
            |((table, key, column), by)| {
                let known = tables.get(table)?;
                let Left {
                    kind, id, project, ..
                } = counted(table, Some(known), key, column, *by);
                Some(Undone { kind, id, project })
            },
        );
        rows.chain(counters).collect()
    }
}

/// A table's name, and a key in it.
pub(crate) type Place<'n> = (&'n str, &'n Key);

impl Row {
    fn left(&self, table: &Table, id: &Key) -> Option<Left> {
        let before = present(table, self.before.as_ref());
        let after = present(table, self.after.as_ref());
        (before != after).then(|| Left {
            kind: table.noun.to_owned(),
            id: id.to_string(),
            project: None,
            before: before.unwrap_or_default(),
            after: after.unwrap_or_default(),
            why: None,
        })
    }

    fn unknown(&self, table: &str, id: &Key) -> Left {
        Left {
            kind: table.to_owned(),
            id: id.to_string(),
            project: None,
            before: self.before.clone().map(Value::Object).unwrap_or_default(),
            after: self.after.clone().map(Value::Object).unwrap_or_default(),
            why: None,
        }
    }
}

/// Returns the entry of a counter. The project is a part of the key.
fn counted(name: &str, table: Option<&Table>, key: &Key, column: &str, by: i64) -> Left {
    let owner = table.and_then(|table| table.position(table.hooks.owner?));
    let mut texts: Vec<&str> = key.0.iter().map(|text| &**text).collect();
    let project = owner
        .filter(|at| *at < texts.len())
        .map(|at| texts.remove(at).to_owned());
    Left {
        kind: table.map_or(name, |table| table.noun).to_owned(),
        id: format!("{}.{column}", texts.join("/")),
        project,
        before: Value::from(0),
        after: Value::from(by),
        why: None,
    }
}

/// Returns a row as a report shows it; `None` for a row that counts as absent.
fn present(table: &Table, row: Option<&Object>) -> Option<Value> {
    let row = row?;
    if (table.hooks.is_absent)(row) {
        return None;
    }
    let mut shown = row.clone();
    for column in table.hooks.hidden {
        shown.remove(*column);
    }
    Some(Value::Object(shown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::counts;
    use crate::rows::{Hooks, Row as _};
    use crate::table;
    use serde_json::json;

    const HOOKS: Hooks = Hooks {
        hidden: &["version", "deleted"],
        is_absent: |row| row.get("deleted") == Some(&true.into()),
        ..Hooks::NONE
    };

    table! {
        /// A row of the tests.
        pub struct Note in "notes", called "note", with HOOKS {
            key id;
            text: Option<crate::rows::Text>,
        }
    }

    const COUNTS: Hooks = Hooks {
        owner: Some("project_id"),
        ..Hooks::NONE
    };

    table! {
        /// A counter of the tests.
        pub struct Sum in "sums", called "sum", with COUNTS {
            key project_id, thing;
            number: i64,
        }
    }

    fn row(before: Value, after: Value) -> Change {
        let object = |value: Value| value.as_object().cloned();
        Change::Row {
            table: "notes".into(),
            id: Key::from("n"),
            before: object(before),
            after: object(after),
        }
    }

    fn sum(number: i64) -> Change {
        Change::Count {
            table: "sums".into(),
            key: Key::from(["p", "things"].map(str::to_owned)),
            by: counts([("number", number)]),
        }
    }

    fn left(changes: &[Change]) -> Vec<Left> {
        let mut net = Net::default();
        changes.iter().for_each(|change| net.add(change));
        let tables = Tables::new([Note::TABLE, Sum::TABLE].map(Into::into)).unwrap();
        net.left(&tables)
    }

    #[test]
    fn a_change_and_its_inverse_leave_nothing() {
        let note = |text: &str| json!({"text": text});
        for changes in [
            [sum(1), sum(-1)],
            [row(json!(null), note("a")), row(note("a"), json!(null))],
            [row(note("a"), note("b")), row(note("b"), note("a"))],
        ] {
            assert_eq!(left(&changes), []);
        }
    }

    #[test]
    fn a_row_that_its_table_says_is_absent_is_not_left() {
        let create = row(json!(null), json!({"text": "a", "deleted": false}));
        let delete = row(
            json!({"text": "a", "deleted": false}),
            json!({"text": "b", "deleted": true}),
        );
        assert_eq!(left(&[create.clone(), delete]), []);
        assert_eq!(left(&[create])[0].after, json!({"text": "a"}));
    }

    #[test]
    fn what_an_operator_took_away_is_not_left() {
        let create = row(json!(null), json!({"text": "a", "version": 1}));
        let deleted = row(json!({"deleted": false}), json!({"deleted": true}));
        let noted = [deleted, sum(-1)].map(|change| Change::Elsewhere(Box::new(change)));
        let [deleted, given_back] = noted;
        assert_eq!(left(&[create, sum(1), deleted, given_back]), []);
    }

    #[test]
    fn what_is_left_says_what_it_was_and_what_it_is() {
        let left = left(&[
            row(
                json!({"text": "a", "version": 1}),
                json!({"text": "b", "version": 2}),
            ),
            row(
                json!({"host": null, "version": 2}),
                json!({"host": "h", "version": 3}),
            ),
            sum(1),
        ]);
        assert_eq!(left[0].before, json!({"text": "a", "host": null}));
        assert_eq!(left[0].after, json!({"text": "b", "host": "h"}));
        let counter = &left[1];
        assert_eq!(
            (counter.kind.as_str(), counter.id.as_str()),
            ("sum", "things.number")
        );
        assert_eq!(
            (counter.project.as_deref(), &counter.after),
            (Some("p"), &json!(1))
        );
    }

    #[test]
    fn what_no_domain_knows_is_never_clean() {
        let elsewhere = |before: Value, after: Value| Change::Row {
            table: "tickets".into(),
            id: Key::from("t"),
            before: before.as_object().cloned(),
            after: after.as_object().cloned(),
        };
        let made = elsewhere(json!(null), json!({"state": "open"}));
        let gone = elsewhere(json!({"state": "open"}), json!(null));
        let left = left(&[made, gone]);
        assert_eq!(
            (left[0].kind.as_str(), left[0].id.as_str()),
            ("tickets", "t")
        );
    }
}
