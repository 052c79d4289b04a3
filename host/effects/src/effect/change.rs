use serde::{Deserialize, Serialize};

use cairn_model::value::Object;

/// A table whose rows effects change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "named after the tables")]
pub enum Table {
    Volumes,
    Reservations,
    Keys,
    Outbox,
}

impl Table {
    /// What one row is called in a report.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Volumes => "volume",
            Self::Reservations => "reservation",
            Self::Keys => "key",
            Self::Outbox => "cast",
        }
    }
}

/// One change that an effect made. Its inverse is the same change read backwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Counters moved. Undone by moving them back, whatever they are by then.
    Usage {
        /// Whose usage.
        project: String,
        /// Of what.
        resource: String,
        /// Added to `in_use`.
        #[serde(default, skip_serializing_if = "is_zero")]
        in_use: i64,
        /// Added to `reserved`.
        #[serde(default, skip_serializing_if = "is_zero")]
        reserved: i64,
    },
    /// A row changed. Undone by compare-and-set: only while the row still is what `after` says.
    Row {
        /// The table.
        table: Table,
        /// The row's id.
        id: String,
        /// The changed columns as they were; `None` when there was no row.
        before: Option<Object>,
        /// The changed columns as they are; `None` when the row was removed.
        after: Option<Object>,
    },
    /// A change of what the flow had made, which an operator made before and the flow takes note of: a volume was deleted, and
    /// its quota given back. It counts in what the flow left. Undoing it changes nothing.
    Elsewhere(Box<Self>),
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl Change {
    /// The change that takes this one back.
    #[must_use]
    pub fn inverse(&self) -> Self {
        match self.clone() {
            Self::Usage {
                project,
                resource,
                in_use,
                reserved,
            } => Self::Usage {
                project,
                resource,
                in_use: in_use.saturating_neg(),
                reserved: reserved.saturating_neg(),
            },
            Self::Row {
                table,
                id,
                before,
                after,
            } => Self::Row {
                table,
                id,
                before: after,
                after: before,
            },
            Self::Elsewhere(change) => Self::Elsewhere(Box::new(change.inverse())),
        }
    }
}
