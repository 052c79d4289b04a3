//! Reads and writes the files that belong to a database besides its own: the master key, and components of an older version.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use cairn::file;
use cairn::whole::Whole;

use crate::exit::Failure;

/// The longest file that is read as a master key, in bytes; the engine checks its content.
const MAX_KEY: u64 = 4096;

/// Returns `<path><suffix>`, as in `cairn.db.key`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Lists the complete components of a folder; those that are being written have other names. `None` if there is no folder.
pub(super) fn components_in(folder: &Path) -> Result<Option<Vec<PathBuf>>, Failure> {
    let entries = file::optional(folder, fs::read_dir(folder));
    let Some(entries) = entries.map_err(|error| unread(folder, &error))? else {
        return Ok(None);
    };
    let paths = entries.map(|entry| Ok(entry?.path()));
    let paths: Vec<PathBuf> = paths
        .collect::<io::Result<_>>()
        .map_err(|error| unread(folder, &error))?;
    let is_whole = |path: &PathBuf| path.extension().is_some_and(|name| name == "wasm");
    Ok(Some(paths.into_iter().filter(is_whole).collect()))
}

/// Copies a component into a folder; it is on disk before it gets its name. Components are named by their digests, so an existing one
/// is the same, or damaged: it is replaced.
pub(super) fn copy_into(component: &Path, folder: &Path) -> Result<(), Failure> {
    let Some(name) = component.file_name() else {
        return Ok(());
    };
    let target = folder.join(name);
    let mut source = file::open(component).map_err(|error| unread(component, &error))?;
    let how = Whole {
        mode: 0o666,
        replaces: true,
        is_durable: true,
    };
    how.write(&target, |file| io::copy(&mut source, file).map(drop))
        .map_err(|error| unwritten(&target, &error))
}

/// Reads a master key; `None` if there is no such file.
pub(super) fn key_in(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    file::optional(path, file::read(path, MAX_KEY)).map_err(|error| unread(path, &error))
}

/// Writes a master key that only its owner can read; it is on disk when this returns. `path` must not exist.
pub(super) fn write_key(path: &Path, key: &[u8]) -> io::Result<()> {
    let how = Whole {
        mode: 0o600,
        replaces: false,
        is_durable: true,
    };
    how.write(path, |file| file.write_all(key))
}

/// Syncs the folder of a file, so that the file's name is on disk.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    file::sync(parent.unwrap_or(Path::new(".")))
}

pub(super) fn sync_folder(folder: &Path) -> Result<(), Failure> {
    file::sync(folder).map_err(|error| unwritten(folder, &error))
}

pub(super) fn unread(path: &Path, error: &io::Error) -> Failure {
    Failure::host(format!("{} cannot be read: {error}", path.display()))
}

pub(super) fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::host(format!(
        "{} cannot be written: {error}; check that the folder exists and that you may write to it",
        path.display()
    ))
}
