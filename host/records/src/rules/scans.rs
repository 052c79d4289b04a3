//! The scans of records: queries over the whole table, in SQL and in Rust.

use super::tables::Record;
use cairn_effects::rows::{Cell, Scan, Tally, Text};

/// The records of a project, $1, in a collection, $2, whose keys are from $3 on and before $4.
pub(super) static BETWEEN: Scan<Record> = Scan {
    name: "records between",
    condition: "project_id = $1 AND collection = $2 AND key >= $3 AND key < $4",
    holds: |row, of| is_between(row, of),
};

/// The first keys, at most $5, of the rows of [`BETWEEN`]. They only decide where a page ends, so rows that changed meanwhile make a page
/// longer or shorter, but never wrong.
pub(super) static FIRST_KEYS: Tally<Record> = Tally {
    name: "first keys",
    query: "SELECT key, COUNT(*) FROM records
            WHERE project_id = $1 AND collection = $2 AND key >= $3 AND key < $4 GROUP BY key ORDER BY key LIMIT $5",
    group: |row, of, _| is_between(row, of).then(|| vec![Cell::Text(Text::clone(&row.key))]),
    changes: false,
};

fn is_between(row: &Record, of: &[Cell]) -> bool {
    let [project, collection, from, before, ..] = of else {
        return false;
    };
    let text = |cell: &Cell| match cell {
        Cell::Text(text) => Text::clone(text),
        _ => Text::from(""),
    };
    row.project_id == text(project)
        && row.collection == text(collection)
        && row.key >= text(from)
        && row.key < text(before)
}
