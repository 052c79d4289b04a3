//! Rows over a database, in memory: what rules look at and change. Effects are decided here, by pure functions over rows, and a
//! batch writes the final state of each changed row once. Knows no SQL but the conditions that its users name, and no table.

mod cell;
mod fetch;
mod overlay;
mod scan;
mod table;
#[cfg(test)]
mod tests;
mod view;

pub use cell::{Bytes, Cell, CellRef, Field, Json, Kind, Text, WrongCell, to_hex};
pub use fetch::{Fetched, Mark, Wants};
pub use overlay::{Fetching, Overlay, Written};
pub use scan::{AnyScan, AnyTally, Count, Counted, LookUp, Scan, Select, Tally};
pub(crate) use table::table;
pub use table::{AnyRow, Column, Key, ReadRow, Row, RowId, State, Table, WholeTable, typed};
pub use view::{Done, Draft, Made, Rows, Stop};
