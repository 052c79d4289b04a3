//! Rows over a database, in memory: what rules look at and change. Effects are decided here, by pure functions over rows, and a
//! batch writes the final state of each changed row once. Knows no SQL but the conditions that its users name, and no table.

mod cell;
mod fetch;
mod hooks;
mod overlay;
mod registered;
mod scan;
mod services;
mod table;
mod tables;
#[cfg(test)]
mod tests;
mod undo;
mod view;

pub use crate::key::Key;
pub use cell::{Bytes, Cell, CellRef, Field, Json, Kind, Text, WrongCell, to_hex};
pub use fetch::{Fetched, Mark, Wants};
pub use hooks::{Dumped, Hooks, Pruned};
pub use overlay::{Fetching, Overlay, Written};
pub use registered::{End, Inverse, Registered, Settle, Undo, UndoRule};
pub use scan::{AnyScan, AnyTally, Count, Counted, LookUp, Scan, Select, Tally};
pub use services::Services;
pub use table::{AnyRow, Column, ReadRow, Row, RowId, State, Table, WholeTable, typed};
pub use tables::{SecondTable, Tables};
pub use undo::undo;
pub use view::{Draft, Made, Rows, RunRecord, Stop};
