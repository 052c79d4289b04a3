use std::collections::BTreeMap;

use serde::Serialize;

/// The counters of one usage; counts, or GiB for `gigabytes*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Committed.
    pub in_use: i64,
    /// Held by open reservations.
    pub reserved: i64,
}

/// Usages by project and resource.
pub type Usages = BTreeMap<(String, String), Counters>;

/// A usage that is not what is booked and held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// Whose usage.
    pub project: String,
    /// Of what.
    pub resource: String,
    /// What its row says; null when there is no row, although something is booked or held.
    pub found: Option<Counters>,
    /// What it should say.
    pub expected: Counters,
}

/// The usages that differ from what is expected, by project and resource. Nothing is expected of a usage that `expected`
/// does not name; a row that is missing and of which nothing is expected is no drift.
pub fn drift(found: &Usages, expected: &Usages) -> Vec<Drift> {
    let missing = expected.keys().filter(|key| !found.contains_key(*key));
    let mut drift: Vec<Drift> = found
        .keys()
        .chain(missing)
        .filter_map(|key| {
            let found = found.get(key).copied();
            let expected = expected.get(key).copied().unwrap_or_default();
            (found.unwrap_or_default() != expected).then(|| Drift {
                project: key.0.clone(),
                resource: key.1.clone(),
                found,
                expected,
            })
        })
        .collect();
    drift.sort_by(|a, b| (&a.project, &a.resource).cmp(&(&b.project, &b.resource)));
    drift
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usages(rows: &[(&str, &str, i64, i64)]) -> Usages {
        let usage = |(project, resource, in_use, reserved): &(&str, &str, i64, i64)| {
            let counters = Counters {
                in_use: *in_use,
                reserved: *reserved,
            };
            (((*project).to_owned(), (*resource).to_owned()), counters)
        };
        rows.iter().map(usage).collect()
    }

    #[test]
    fn what_is_as_expected_is_no_drift_and_neither_is_a_missing_row_of_nothing() {
        let found = usages(&[("a", "volumes", 1, 2), ("a", "gigabytes", 0, 0)]);
        let expected = usages(&[("a", "volumes", 1, 2), ("b", "volumes", 0, 0)]);
        assert_eq!(drift(&found, &expected), []);
    }

    #[test]
    fn each_difference_is_named_in_order_with_what_was_found_and_expected() {
        let found = usages(&[
            ("b", "volumes", 3, 0),
            ("a", "volumes", 1, 1),
            ("a", "snapshots", 1, 0),
        ]);
        let expected = usages(&[
            ("b", "gigabytes", 5, 0),
            ("a", "volumes", 1, 0),
            ("a", "snapshots", 2, 0),
        ]);
        let shown: Vec<_> = drift(&found, &expected)
            .into_iter()
            .map(|drift| {
                let found = drift.found.map(|found| (found.in_use, found.reserved));
                let expected = (drift.expected.in_use, drift.expected.reserved);
                (drift.project + "/" + &drift.resource, found, expected)
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("a/snapshots".to_owned(), Some((1, 0)), (2, 0)),
                ("a/volumes".to_owned(), Some((1, 1)), (1, 0)),
                ("b/gigabytes".to_owned(), None, (5, 0)),
                ("b/volumes".to_owned(), Some((3, 0)), (0, 0)),
            ]
        );
    }
}
