//! Takes in the components that an older version kept as files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cairn_model::file::{self, MAX_COMPONENT};
use cairn_model::id::Identity;
use cairn_model::value::Digest;

use super::{DatabaseFile, Sqlite};
use crate::StoreError;
use crate::host::Component;
use crate::operators::components;

/// Suffix of the folder beside a database.
pub(crate) const FOLDER: &str = ".components";

/// The beginning of the name of a file that a killed process did not finish.
const UNFINISHED: &str = ".new-";

impl Sqlite {
    /// Stores the components of a folder that an older version kept as `DIGEST.wasm`; they are on disk when this returns, and the files
    /// stay. Does nothing without the folder. A file that cannot be read, or has another digest, is logged as a warning and left out.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn take_in_components(&self, folder: &Path) -> Result<(), StoreError> {
        self.take_in_folder(folder).map(drop)
    }

    /// Stores the components of the folder beside the database, and removes those files, and the folder once it is empty.
    pub(super) fn take_in_beside(&self, file: &DatabaseFile) -> Result<(), StoreError> {
        let folder = file.beside(FOLDER);
        let taken = self.take_in_folder(&folder)?;
        if let Some(taken) = taken
            && let Err(error) = remove(&folder, &taken)
        {
            tracing::warn!(
                folder = %folder.display(), %error,
                "the components of this folder are in the database now, but it could not be removed: remove it when it holds nothing you need"
            );
        }
        Ok(())
    }

    /// Stores the components of a folder as [`take_in`].
    fn take_in_folder(&self, folder: &Path) -> Result<Option<Vec<PathBuf>>, StoreError> {
        let nobody = Identity::default();
        let is_sound = |digest| self.read(&nobody, |view| components::is_sound(view.sql(), digest));
        let write = |component: &Component<'_>| {
            self.admin(&nobody, |admin| admin.write_component(component))
        };
        take_in(folder, is_sound, write)
    }
}

/// Stores the components of a folder with `write`, except those that are stored and sound. Returns the files whose components are stored
/// then; `None` without the folder, or if it cannot be read. What cannot be read or has another digest is logged as a warning.
///
/// # Errors
/// Those of `is_sound` and `write`.
pub(crate) fn take_in(
    folder: &Path,
    is_sound: impl Fn(Digest) -> Result<bool, StoreError>,
    write: impl Fn(&Component<'_>) -> Result<(), StoreError>,
) -> Result<Option<Vec<PathBuf>>, StoreError> {
    let files = match file::optional(folder, files(folder)) {
        Ok(None) => return Ok(None),
        Ok(Some(files)) => files,
        Err(error) => {
            tracing::warn!(
                folder = %folder.display(), %error,
                "the components that an older version kept in this folder cannot be read: flows that need them cannot be recovered"
            );
            return Ok(None);
        }
    };
    let mut taken = Vec::new();
    for path in files {
        let digest = named(&path);
        if let Ok(digest) = digest
            && is_sound(digest)?
        {
            taken.push(path);
            continue;
        }
        match digest.and_then(|digest| Ok((digest, read(&path, digest)?))) {
            Ok((digest, bytes)) => {
                let bytes = &bytes;
                write(&Component { digest, bytes })?;
                taken.push(path);
            }
            Err(problem) => tracing::warn!(
                file = %path.display(),
                "this component of an older version was not taken into the database, and stays: {problem}"
            ),
        }
    }
    Ok(Some(taken))
}

/// Returns the digest that names the file of a component.
///
/// # Errors
/// What is wrong with the name.
fn named(path: &Path) -> Result<Digest, String> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let digest = stem.parse();
    digest.map_err(|error| format!("its name is wrong: {error}"))
}

/// Reads the file of a component, and verifies its digest.
///
/// # Errors
/// What is wrong with the file.
fn read(path: &Path, digest: Digest) -> Result<Vec<u8>, String> {
    let bytes = file::read(path, MAX_COMPONENT).map_err(|error| error.to_string())?;
    match Digest::of(&bytes) {
        found if found == digest => Ok(bytes),
        found => Err(format!("it is damaged: its digest is {found}")),
    }
}

/// Returns the files of components, sorted.
///
/// # Errors
/// The folder cannot be read, or does not exist.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<io::Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|name| name == "wasm"));
    paths.sort();
    Ok(paths)
}

/// Removes files of a folder, then the folder unless a damaged component is left, which was reported.
fn remove(folder: &Path, taken: &[PathBuf]) -> io::Result<()> {
    let gone = |removed: io::Result<()>| match removed {
        // Another process took them in at the same time.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    };
    for path in taken {
        gone(fs::remove_file(path))?;
    }
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let entry = entry?;
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(UNFINISHED.as_bytes())
        {
            gone(fs::remove_file(entry.path()))?;
        }
    }
    match gone(fs::remove_dir(folder)) {
        Err(error)
            if error.kind() == io::ErrorKind::DirectoryNotEmpty
                && files(folder).is_ok_and(|left| !left.is_empty()) =>
        {
            Ok(())
        }
        removed => removed,
    }
}
