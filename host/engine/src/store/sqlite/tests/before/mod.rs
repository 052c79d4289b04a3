//! The rules as statements of SQLite's, as they were before they were rules over rows: what the overlay is compared with.
#![allow(
    dead_code,
    unused_imports,
    reason = "the files are as they were, but for what only operators read"
)]

mod changes;
mod effects;
mod keys;
mod lookup;
mod quota;
mod tx;
mod volumes;

pub(in crate::store::sqlite) use changes::apply as restore;
pub(in crate::store::sqlite) use effects::apply;
pub(in crate::store::sqlite) use lookup::query;
pub(in crate::store::sqlite) use tx::{Fault, Tx, in_savepoint};
