//! How an object is named.

use std::fmt;
use std::str::FromStr;

use cairn_model::error::TaskError;
use cairn_model::value::{Object, Value};

use super::TABLE;
use crate::effect::{Applied, Change};
use crate::key::Key;
use crate::rows::Text;

/// The key of an object's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalKey {
    /// The provider's name in the plan.
    pub provider: Text,
    /// The kind of the object.
    pub kind: Text,
    /// Its name.
    pub id: Text,
}

impl ExternalKey {
    /// Creates the key of an object.
    pub fn new(provider: &str, kind: &str, id: &str) -> Self {
        Self {
            provider: provider.into(),
            kind: kind.into(),
            id: id.into(),
        }
    }

    /// Returns the key of the object that an intent is about.
    pub fn of(applied: &Applied) -> Option<Self> {
        applied.changes.iter().find_map(|change| match change {
            Change::Row { table, id, .. } if *table == TABLE.name => match id.0.as_slice() {
                [provider, kind, id] => Some(Self {
                    provider: Text::clone(provider),
                    kind: Text::clone(kind),
                    id: Text::clone(id),
                }),
                _ => None,
            },
            _ => None,
        })
    }

    /// Returns the key of a row that operators are shown.
    pub fn of_row(row: &Object) -> Self {
        let text = |name| row.get(name).and_then(Value::as_str).unwrap_or_default();
        Self::new(text("provider"), text("kind"), text("id"))
    }

    pub(super) fn key(&self) -> Key {
        Key([&self.provider, &self.kind, &self.id]
            .map(Text::clone)
            .into_iter()
            .collect())
    }

    pub(super) fn not_found(&self) -> TaskError {
        let message = format!("the object `{}` of `{}` has no row", self.id, self.provider);
        TaskError::new("ExternalNotFound", message)
    }
}

/// A text that is no key of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write PROVIDER/KIND/ID")]
pub struct NoExternalKey;

/// Parses `PROVIDER/KIND/ID`. Providers and ids have no `/`.
impl FromStr for ExternalKey {
    type Err = NoExternalKey;

    fn from_str(text: &str) -> Result<Self, NoExternalKey> {
        let (provider, rest) = text.split_once('/').ok_or(NoExternalKey)?;
        let (kind, id) = rest.rsplit_once('/').ok_or(NoExternalKey)?;
        Ok(Self::new(provider, kind, id))
    }
}

/// Formats it as `PROVIDER/KIND/ID`: where a page of a list ends.
impl fmt::Display for ExternalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { provider, kind, id } = self;
        write!(f, "{provider}/{kind}/{id}")
    }
}
