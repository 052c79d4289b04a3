//! Where the components of a manifest are read from.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use cairn_model::file;

use super::native::Native;

/// A place that holds a component.
///
/// A new kind of place is an implementation of this trait, and a variant of [`Source`](cairn_manifest::manifest::Source): a plan and a lock
/// file know a component by its digest, wherever it came from.
pub(super) trait ComponentSource {
    /// Reads the component, of at most `most` bytes.
    ///
    /// # Errors
    /// [`SourceError`].
    fn read(&self, most: u64) -> Result<Vec<u8>, SourceError>;
}

/// Why a component was not read.
pub(super) enum SourceError {
    /// It is too large.
    TooLarge {
        /// Its size in bytes.
        size: u64,
    },
    /// It is not there, or cannot be read.
    Unread {
        /// The rest of a sentence about the plugin.
        message: String,
        /// The fix.
        help: String,
    },
}

/// A file.
pub(super) struct FileSource<'a>(pub(super) &'a Path);

/// A component that is part of the program.
pub(super) struct BuiltinSource<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// All of them, by name.
    pub(super) builtins: &'a BTreeMap<String, &'static [u8]>,
    /// Native tasks, which manifests name in the same way.
    pub(super) natives: &'a BTreeMap<String, Native>,
}

impl ComponentSource for FileSource<'_> {
    fn read(&self, most: u64) -> Result<Vec<u8>, SourceError> {
        let unread = |error: io::Error| SourceError::Unread {
            message: format!("cannot read {}: {error}", self.0.display()),
            help: "paths are relative to the manifest; build the plugin first if it is yours"
                .to_owned(),
        };
        let file = file::open(self.0).map_err(unread)?;
        within(file.metadata().map_err(unread)?.len(), most)?;
        file::read_rest(file, most).map_err(unread)
    }
}

impl ComponentSource for BuiltinSource<'_> {
    fn read(&self, most: u64) -> Result<Vec<u8>, SourceError> {
        let Some(bytes) = self.builtins.get(self.name) else {
            let known = self.builtins.keys().chain(self.natives.keys());
            let known: BTreeSet<&str> = known.map(String::as_str).collect();
            let known: Vec<&str> = known.into_iter().collect();
            return Err(SourceError::Unread {
                message: format!("there is no built-in plugin `{}`", self.name),
                help: format!("the built-in plugins are {}", known.join(", ")),
            });
        };
        within(bytes.len() as u64, most)?;
        Ok(bytes.to_vec())
    }
}

/// Refuses a component that is too large, before it is read.
fn within(size: u64, most: u64) -> Result<(), SourceError> {
    match size > most {
        true => Err(SourceError::TooLarge { size }),
        false => Ok(()),
    }
}
