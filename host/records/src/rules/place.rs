//! Addresses records, and finds the settings of their collections.

use std::sync::Arc;

use cairn_model::error::TaskError;
use cairn_model::text;

use super::tables::{Record, Usage};
use crate::settings::{Collection, Settings, shown};
use cairn_effects::rows::{Key, RowId, Rows, Stop, Text};

/// A key in a collection of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) project: Text,
    pub(super) collection: Text,
    pub(super) key: Text,
}

impl Place {
    /// Names a key in the caller's project.
    ///
    /// # Errors
    /// `InvalidInput` for an invalid key; those of [`own_project`].
    pub(super) fn own(rows: &Rows<'_>, collection: &str, key: &str) -> Result<Self, Stop> {
        if let Err(unfit) = text::Text::Name.check(key) {
            let message = format!("the key `{}` {unfit}", shown(key));
            return Err(TaskError::new("InvalidInput", message)
                .with("collection", collection)
                .into());
        }
        Ok(Self {
            project: own_project(rows)?,
            collection: collection.into(),
            key: key.into(),
        })
    }

    /// Reads the place from a row's key.
    pub(super) fn of(key: &Key) -> Self {
        let part = |at: usize| key.0.get(at).map_or_else(|| Text::from(""), Arc::clone);
        Self {
            project: part(0),
            collection: part(1),
            key: part(2),
        }
    }

    pub(super) fn row_key(&self) -> Key {
        joined([&self.project, &self.collection, &self.key])
    }

    pub(super) fn row(&self) -> RowId {
        RowId::of::<Record>(self.row_key())
    }

    pub(super) fn usage(&self) -> RowId {
        RowId::of::<Usage>(self.usage_key())
    }

    pub(super) fn usage_key(&self) -> [Text; 2] {
        [Arc::clone(&self.project), Arc::clone(&self.collection)]
    }

    /// Makes an error about this key, with collection and key as details. The project is left out: it is the caller's own.
    pub(super) fn error(&self, kind: &str, message: impl Into<String>) -> TaskError {
        TaskError::new(kind, message)
            .with("collection", &*self.collection)
            .with("key", &*self.key)
    }
}

/// Joins three texts to a key.
pub(super) fn joined(texts: [&Text; 3]) -> Key {
    Key(texts.into_iter().map(Arc::clone).collect())
}

/// Returns the caller's project, which owns the records.
///
/// # Errors
/// `NotAuthorized` when the caller names none.
pub(super) fn own_project(rows: &Rows<'_>) -> Result<Text, Stop> {
    let project = rows.by().requester.project_id.as_str();
    if project.is_empty() {
        let message = "records belong to a project, and the caller names none";
        return Err(TaskError::new("NotAuthorized", message).into());
    }
    Ok(project.into())
}

/// Returns the settings of a collection.
///
/// # Errors
/// `CollectionNotFound` when the operator has not set it up.
pub(super) fn settings<'a>(rows: &Rows<'a>, collection: &str) -> Result<&'a Collection, Stop> {
    Ok(Settings::of(rows.services()).collection(collection)?)
}
