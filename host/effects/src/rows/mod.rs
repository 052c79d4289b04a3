//! Rows in memory over a database, which rules read and change. Effects are pure functions over rows, and a batch writes the final
//! state of each dirty row once. Contains no tables, and no SQL except for the conditions that its users pass.

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
