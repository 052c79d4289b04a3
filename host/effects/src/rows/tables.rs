use std::collections::BTreeMap;
use std::sync::Arc;

use super::table::{RowId, Table};
use crate::key::Key;

/// The tables that a host knows, by name. Cheap to copy.
#[derive(Clone, Debug, Default)]
pub struct Tables(Arc<BTreeMap<&'static str, &'static Table>>);

/// Two tables have one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("two tables are called `{0}`")]
pub struct SecondTable(pub &'static str);

impl Tables {
    /// These tables.
    ///
    /// # Errors
    /// [`SecondTable`].
    pub fn new(tables: impl IntoIterator<Item = &'static Table>) -> Result<Self, SecondTable> {
        let mut known = BTreeMap::new();
        for table in tables {
            if known.insert(table.name, table).is_some() {
                return Err(SecondTable(table.name));
            }
        }
        Ok(Self(Arc::new(known)))
    }

    /// One table.
    pub fn only(table: &'static Table) -> Self {
        Self(Arc::new(BTreeMap::from([(table.name, table)])))
    }

    /// The table of this name.
    pub fn get(&self, name: &str) -> Option<&'static Table> {
        self.0.get(name).copied()
    }

    /// Names a row; `None` when its table is not known.
    pub fn row(&self, table: &str, key: &Key) -> Option<RowId> {
        Some(RowId {
            table: self.get(table)?,
            key: key.clone(),
        })
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &'static Table> + use<'_> {
        self.0.values().copied()
    }
}
