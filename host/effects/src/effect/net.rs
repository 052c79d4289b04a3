use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use cairn_model::value::{Object, Value};

use super::{Change, Table};

/// What a flow changed on the whole: the sum of its changes and of the inverses that were applied.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Net {
    counters: BTreeMap<(String, String, &'static str), i64>,
    rows: BTreeMap<(Table, String), Row>,
}

#[derive(Clone, Debug, PartialEq)]
struct Row {
    /// The columns that changed, as they were at first; `None` when there was no row.
    before: Option<Object>,
    /// The same columns as they are now.
    after: Option<Object>,
}

/// Something that a rollback left different from before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Left {
    /// What kind of thing: `volume`, `key`, `reservation`, `cast` or `usage`.
    pub kind: String,
    /// Its id; for a usage the resource.
    pub id: String,
    /// Whose usage it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// What it was; null when it did not exist.
    pub before: Value,
    /// What it is; null when it no longer exists. For a usage the amount by which it grew.
    pub after: Value,
}

impl Net {
    /// Adds one change.
    pub fn add(&mut self, change: &Change) {
        match change {
            Change::Elsewhere(change) => self.add(change),
            Change::Usage {
                project,
                resource,
                in_use,
                reserved,
            } => {
                for (counter, delta) in [("in_use", *in_use), ("reserved", *reserved)] {
                    let key = (project.clone(), resource.clone(), counter);
                    let sum = self.counters.entry(key).or_default();
                    *sum = sum.saturating_add(delta);
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
                    .entry((*table, id.clone()))
                    .or_insert_with(|| Row {
                        before: before.clone(),
                        after: before.clone(),
                    });
                // A column that changes for the first time was until now what it is before this change.
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

    /// What is different from before; empty when the rollback is clean. A closed reservation and a soft-deleted row
    /// count as absent.
    pub fn left(&self) -> Vec<Left> {
        let rows = self.rows.iter().filter_map(|((table, id), row)| {
            let before = present(*table, row.before.as_ref());
            let after = present(*table, row.after.as_ref());
            (before != after).then(|| Left {
                kind: table.noun().to_owned(),
                id: id.clone(),
                project: None,
                before: before.unwrap_or_default(),
                after: after.unwrap_or_default(),
            })
        });
        let counters = self.counters.iter().filter(|(_, delta)| **delta != 0);
        let counters = counters.map(|((project, resource, counter), delta)| Left {
            kind: "usage".to_owned(),
            id: format!("{resource}.{counter}"),
            project: Some(project.clone()),
            before: Value::from(0),
            after: Value::from(*delta),
        });
        rows.chain(counters).collect()
    }
}

/// A row as the report shows it; `None` for one that counts as absent: soft-deleted, a reservation that is closed, a
/// message that nobody was sent.
fn present(table: Table, row: Option<&Object>) -> Option<Value> {
    let row = row?;
    let absent = match table {
        Table::Volumes => row.get("deleted") == Some(&Value::from(true)),
        Table::Reservations => row.get("state").is_some_and(|state| state != "open"),
        // What a flow that does not succeed had sent is withdrawn, whatever its tasks answered.
        Table::Outbox => true,
        Table::Keys => false,
    };
    if absent {
        return None;
    }
    let mut shown = row.clone();
    // What only guards compare-and-set, or keeps the books.
    for column in [
        "version",
        "deleted",
        "deleted_at",
        "booked",
        "sealed",
        "flow",
    ] {
        shown.remove(column);
    }
    Some(Value::Object(shown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(before: Value, after: Value) -> Change {
        let object = |value: Value| value.as_object().cloned();
        Change::Row {
            table: Table::Volumes,
            id: "v".to_owned(),
            before: object(before),
            after: object(after),
        }
    }

    fn usage(in_use: i64, reserved: i64) -> Change {
        Change::Usage {
            project: "p".to_owned(),
            resource: "volumes".to_owned(),
            in_use,
            reserved,
        }
    }

    fn left(changes: &[Change]) -> Vec<Left> {
        let mut net = Net::default();
        changes.iter().for_each(|change| net.add(change));
        net.left()
    }

    #[test]
    fn a_change_and_its_inverse_leave_nothing() {
        for change in [
            usage(1, -2),
            row(json!(null), json!({"status": "creating"})),
            row(json!({"status": "a"}), json!({"status": "b"})),
        ] {
            assert_eq!(left(&[change.clone(), change.inverse()]), []);
        }
    }

    #[test]
    fn a_closed_reservation_counts_as_absent() {
        let reservation = |before: Value, after: Value| Change::Row {
            table: Table::Reservations,
            id: "r".to_owned(),
            before: before.as_object().cloned(),
            after: after.as_object().cloned(),
        };
        let reserve = reservation(json!(null), json!({"state": "open"}));
        let commit = reservation(json!({"state": "open"}), json!({"state": "committed"}));
        assert_eq!(left(&[reserve.clone(), commit]), []);
        assert_eq!(left(&[reserve])[0].after, json!({"state": "open"}));
    }

    #[test]
    fn a_soft_deleted_row_counts_as_absent() {
        let create = row(json!(null), json!({"status": "creating", "deleted": false}));
        let destroy = row(
            json!({"status": "creating", "deleted": false}),
            json!({"status": "deleted", "deleted": true}),
        );
        assert_eq!(left(&[create.clone(), destroy]), []);
        assert_eq!(left(&[create])[0].after, json!({"status": "creating"}));
    }

    #[test]
    fn a_closed_reservation_and_a_withdrawn_message_count_as_absent() {
        let change = |table, state: &str| Change::Row {
            table,
            id: "r".to_owned(),
            before: None,
            after: json!({"state": state}).as_object().cloned(),
        };
        assert_eq!(left(&[change(Table::Reservations, "rolled_back")]), []);
        assert_eq!(left(&[change(Table::Outbox, "held")]), []);
        assert_eq!(
            left(&[change(Table::Reservations, "open")])[0].kind,
            "reservation"
        );
    }

    #[test]
    fn what_an_operator_took_away_is_not_left() {
        let create = row(json!(null), json!({"status": "creating", "version": 1}));
        let deleted = row(
            json!({"status": "creating", "deleted": false}),
            json!({"status": "deleted", "deleted": true}),
        );
        let noted = [deleted, usage(-1, 0)].map(|change| Change::Elsewhere(Box::new(change)));
        let [deleted, given_back] = noted;
        assert_eq!(left(&[create, usage(1, 0), deleted, given_back]), []);
    }

    #[test]
    fn what_is_left_says_what_it_was_and_what_it_is() {
        let left = left(&[
            row(
                json!({"status": "in-use", "version": 1}),
                json!({"status": "error", "version": 2}),
            ),
            row(
                json!({"host": null, "version": 2}),
                json!({"host": "h", "version": 3}),
            ),
            usage(1, 0),
        ]);
        assert_eq!(left[0].before, json!({"status": "in-use", "host": null}));
        assert_eq!(left[0].after, json!({"status": "error", "host": "h"}));
        assert_eq!(
            (left[1].id.as_str(), &left[1].after),
            ("volumes.in_use", &json!(1))
        );
    }
}
