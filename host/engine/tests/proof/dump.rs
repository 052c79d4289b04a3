//! The contents of a database on disk, without the journal.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use cairn::Identity;
use cairn::clock::SystemClock;
use cairn::store::view::Reader;

pub use cairn::store::view::{Dump, DumpedRow as Row};

/// Reads everything that is committed. `names` maps ids to the ids that replace them.
pub fn dump(database: &Path, names: &BTreeMap<String, String>) -> Dump {
    let reader = Reader::open(
        database,
        crate::any::config(Default::default()),
        Arc::new(SystemClock),
    )
    .unwrap();
    let dump = reader.view(&Identity::default()).dump(names).unwrap();
    assert!(!dump.is_empty(), "the tables were found");
    dump
}
