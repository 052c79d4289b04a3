//! The tables of records, and the rules for effects, look-ups, inverses and the end of a flow, over rows.

mod counter;
mod list;
pub mod operate;
mod place;
mod record;
mod scans;
mod sequence;
mod settle;
mod sight;
mod standing;
mod tables;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod usage;

pub use counter::{CounterAdd, CounterValue};
pub(crate) use list::end_of;
pub use list::{MOST_ENTRIES, Page, RecordList};
pub use record::{Entry, Expect, RecordGet, RecordPut, RecordRemove};
pub use sequence::SequenceNext;
pub use tables::*;

use cairn_effects::rows::{Registered, Row as _};

/// Returns the tables, with the rules that apply inverses and those that settle rows when a flow ends.
pub(crate) fn registered() -> Vec<Registered> {
    vec![
        Registered {
            table: Record::TABLE,
            undo: settle::undo,
            settle: Some(settle::settle),
        },
        Registered {
            table: Addition::TABLE,
            undo: counter::undo,
            settle: Some(counter::settle),
        },
        Counter::TABLE.into(),
        Usage::TABLE.into(),
        Sequence::TABLE.into(),
        Release::TABLE.into(),
    ]
}
