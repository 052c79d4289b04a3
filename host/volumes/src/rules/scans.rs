//! The scans and tallies of block storage: queries over whole tables, in SQL and in Rust.

use super::tables::{QuotaUsage, Snapshot, Volume, VolumeKey};
use cairn_effects::rows::{Cell, RowId, Scan, Tally, Text, typed};

fn is(text: Option<&Text>, parameter: Option<&Cell>) -> bool {
    match (text, parameter) {
        (Some(text), Some(Cell::Text(parameter))) => text == parameter,
        (None, None | Some(Cell::Null)) => true,
        _ => false,
    }
}

/// Compares like SQL's `=`: null equals nothing.
fn equals(text: Option<&Text>, parameter: Option<&Cell>) -> bool {
    text.is_some() && is(text, parameter)
}

fn cell(text: Option<&Text>) -> Cell {
    text.cloned().map_or(Cell::Null, Cell::Text)
}

fn number(number: Option<i64>) -> Cell {
    number.map_or(Cell::Null, Cell::Int)
}

/// The usages of a project: $1.
pub(super) static USAGES: Scan<QuotaUsage> = Scan {
    name: "usages",
    condition: "project_id = $1",
    holds: |row, of| equals(Some(&row.project_id), of.first()),
};

/// The snapshots of a volume: $1.
pub(super) static SNAPSHOTS: Scan<Snapshot> = Scan {
    name: "snapshots",
    condition: "volume_id = $1 AND deleted = FALSE",
    holds: |row, of| equals(row.volume_id.as_ref(), of.first()) && !row.deleted,
};

/// The snapshots of a volume, $1, that are of its project, $2.
pub(super) static OWN_SNAPSHOTS: Scan<Snapshot> = Scan {
    name: "own snapshots",
    condition: "volume_id = $1 AND project_id IS NOT DISTINCT FROM $2 AND deleted = FALSE",
    holds: |row, of| {
        equals(row.volume_id.as_ref(), of.first())
            && is(row.project_id.as_ref(), of.get(1))
            && !row.deleted
    },
};

/// The copies of a volume, $1, that are of its project, $2.
pub(super) static OWN_COPIES: Scan<Volume> = Scan {
    name: "own copies",
    condition: "source_volid = $1 AND project_id IS NOT DISTINCT FROM $2 AND deleted = FALSE",
    holds: |row, of| {
        equals(row.source_volid.as_ref(), of.first())
            && is(row.project_id.as_ref(), of.get(1))
            && !row.deleted
    },
};

/// The booked snapshots of a project, $1, without `booked_gigabytes`.
pub(super) static UNSETTLED_SNAPSHOTS: Scan<Snapshot> = Scan {
    name: "unsettled snapshots",
    condition: "project_id = $1 AND booked = TRUE AND deleted = FALSE AND booked_gigabytes IS NULL",
    holds: |row, of| {
        equals(row.project_id.as_ref(), of.first())
            && row.booked
            && !row.deleted
            && row.booked_gigabytes.is_none()
    },
};

/// The booked volumes of a project, $1, by type and size.
pub(super) static BOOKED_VOLUMES: Tally<Volume> = Tally {
    name: "booked volumes",
    query: "SELECT volume_type_id, size, COUNT(*) FROM volumes
            WHERE project_id = $1 AND booked = TRUE AND deleted = FALSE GROUP BY 1, 2",
    group: |row, of, _| {
        let counts = equals(row.project_id.as_ref(), of.first()) && row.booked && !row.deleted;
        counts.then(|| vec![cell(row.volume_type_id.as_ref()), number(row.size)])
    },
    changes: true,
};

/// The booked snapshots of a project, $1, by their volume's type, `booked_gigabytes`, and the volume's size. A snapshot has its volume's
/// type, which no flow changes.
pub(super) static BOOKED_SNAPSHOTS: Tally<Snapshot> = Tally {
    name: "booked snapshots",
    query: "SELECT volumes.volume_type_id, booked_gigabytes, volume_size, COUNT(*) FROM snapshots
            LEFT JOIN volumes ON volumes.id = snapshots.volume_id
            WHERE snapshots.project_id = $1 AND snapshots.booked = TRUE AND snapshots.deleted = FALSE GROUP BY 1, 2, 3",
    group: |row, of, look_up| {
        if !(equals(row.project_id.as_ref(), of.first()) && row.booked && !row.deleted) {
            return None;
        }
        let volume = row.volume_id.clone().and_then(|id| look_up(&RowId::of::<Volume>(id)));
        let volume = volume.as_ref().and_then(typed::<Volume>);
        Some(vec![
            cell(volume.and_then(|volume| volume.volume_type_id.clone()).as_ref()),
            number(row.booked_gigabytes),
            number(row.volume_size),
        ])
    },
    changes: false,
};

/// All keys.
pub(super) static KEYS: Tally<VolumeKey> = Tally {
    name: "keys",
    query: "SELECT COUNT(*) FROM keys",
    group: |_, _, _| Some(Vec::new()),
    changes: true,
};
