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

/// A usage that differs from the booked and reserved amounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// The project.
    pub project: String,
    /// The resource.
    pub resource: String,
    /// The counters of its row; null when the row is missing although something is booked or reserved.
    pub found: Option<Counters>,
    /// The counters that it should have.
    pub expected: Counters,
}

/// Returns the usages that differ from the expected ones, by project and resource. A usage that `expected` lacks is expected to be zero;
/// a missing row that is expected to be zero is no drift.
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
