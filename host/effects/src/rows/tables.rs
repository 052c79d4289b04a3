use std::collections::BTreeMap;
use std::sync::Arc;

use super::registered::Registered;
use super::table::{RowId, Table};
use crate::key::Key;

/// The tables of a host, by name. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tables(Arc<BTreeMap<&'static str, Registered>>);

/// The error for two tables of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("two tables are called `{0}`")]
pub struct SecondTable(pub &'static str);

impl Tables {
    /// Creates a set of tables.
    ///
    /// # Errors
    /// [`SecondTable`].
    pub fn new(tables: impl IntoIterator<Item = Registered>) -> Result<Self, SecondTable> {
        let mut known = BTreeMap::new();
        for registered in tables {
            let name = registered.table.name;
            if known.insert(name, registered).is_some() {
                return Err(SecondTable(name));
            }
        }
        Ok(Self(Arc::new(known)))
    }

    /// Creates a set of one table.
    pub fn only(registered: Registered) -> Self {
        Self(Arc::new(BTreeMap::from([(
            registered.table.name,
            registered,
        )])))
    }

    /// Returns the table of this name.
    pub fn get(&self, name: &str) -> Option<&'static Table> {
        self.registered(name).map(|registered| registered.table)
    }

    /// Returns the table of this name, with its rules.
    pub fn registered(&self, name: &str) -> Option<&Registered> {
        self.0.get(name)
    }

    /// Returns the identity of a row; `None` when its table is unknown.
    pub fn row(&self, table: &str, key: &Key) -> Option<RowId> {
        Some(RowId {
            table: self.get(table)?,
            key: key.clone(),
        })
    }
}
