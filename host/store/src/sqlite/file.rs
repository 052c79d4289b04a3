//! Resolves the names of a database to one file, and checks that its paths still name the open files.

use std::ffi::OsStr;
use std::fs::{self, Metadata, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use cairn_model::error::TaskError;

use super::beside::beside;
use super::lock_folder::LockFolder;

use crate::StoreError;

/// How many symbolic links are followed for a database that does not exist yet, as many as the system follows.
const LINKS: usize = 40;

/// The longest name of a file, in bytes, on the file systems in use.
const LONGEST_NAME: usize = 255;

/// The longest suffix of a file that is created beside a database.
const LONGEST_SUFFIX: &str = ".restoring.partial";

/// The file of a database: one path for all names that lead to it. The paths of its locks and master key are
/// derived from that path, so all names share them.
///
/// The name is always a path: SQLite's URIs and `:memory:` name files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseFile {
    path: PathBuf,
    /// The folder for locks that the operator names.
    locks: Option<PathBuf>,
}

/// The system's identity of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|found| Self::from(&found))
    }
}

impl From<&Metadata> for FileId {
    fn from(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
        }
    }
}

impl DatabaseFile {
    /// Resolves a name, following symbolic links, even if the file does not exist yet. Never fails: an unusable name is reported
    /// when it is used.
    pub fn named(name: &Path) -> Self {
        Self {
            path: fs::canonicalize(name).unwrap_or_else(|_| future(name)),
            locks: None,
        }
    }

    /// Keeps the locks in this folder; `None` keeps them beside the database.
    pub(super) fn locks_in(mut self, folder: Option<&Path>) -> Self {
        self.locks =
            folder.map(|folder| std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()));
        self
    }

    /// Returns the folder of the locks.
    pub(super) fn locks(&self) -> LockFolder {
        self.locks_of(&self.path)
    }

    /// Returns the folder of the locks that the database would have at another path.
    pub(super) fn locks_of(&self, path: &Path) -> LockFolder {
        LockFolder::of(path, self.locks.as_deref())
    }

    /// Returns the absolute path, without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns `<path><suffix>`, as in `cairn.db.key`.
    pub fn beside(&self, suffix: &str) -> PathBuf {
        beside(&self.path, suffix)
    }

    /// Returns whether the database exists. An empty file does not count: SQLite creates a database in it.
    ///
    /// # Errors
    /// `InvalidInput` when the name cannot be that of a database, such as a folder, a device or a pipe; [`StoreError::Database`]
    /// when the file's metadata cannot be read.
    pub fn exists(&self) -> Result<bool, StoreError> {
        Ok(self.look()?.is_some_and(|found| found.len() > 0))
    }

    /// Returns the file's metadata if it exists; refuses a path that can never be a database.
    pub(super) fn look(&self) -> Result<Option<Metadata>, StoreError> {
        let name = self.path.as_os_str().as_bytes();
        if name.is_empty() {
            return Err(invalid("the name of the database is empty"));
        }
        if name.ends_with(b"/") {
            return Err(self.unusable("this is the name of a folder"));
        }
        let length = self.path.file_name().map_or(0, OsStr::len);
        if length + LONGEST_SUFFIX.len() > LONGEST_NAME {
            return Err(self.unusable("the name is too long"));
        }
        let found = match fs::metadata(&self.path) {
            Ok(found) => found,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::NotFound => Ok(None),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory => {
                        Err(self.failed(&error))
                    }
                    _ => Err(self.unusable(&error.to_string())),
                };
            }
        };
        let kind = found.file_type();
        if kind.is_file() {
            Ok(Some(found))
        } else if kind.is_dir() {
            Err(self.unusable("this is a folder"))
        } else if kind.is_fifo() {
            Err(self.unusable("this is a pipe"))
        } else if kind.is_socket() {
            Err(self.unusable("this is a socket"))
        } else {
            Err(self.unusable("this is a device"))
        }
    }

    /// Returns the file's identity; creates an empty file if there is none.
    pub(super) fn make(&self) -> Result<FileId, StoreError> {
        self.check_restored()?;
        if let Some(found) = self.look()? {
            return Ok(FileId::from(&found));
        }
        // Only a new file may be closed here: closing a file that SQLite has open in this process would release SQLite's locks.
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&self.path);
        match made {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(self.failed(&error)),
        }
        FileId::of(&self.path).map_err(|error| self.failed(&error))
    }

    /// Returns the path of the complete copy that a restore puts in this database's place.
    pub(super) fn restoring(&self) -> PathBuf {
        self.beside(".restoring")
    }

    /// Refuses a database whose restore was not finished.
    pub(super) fn check_restored(&self) -> Result<(), StoreError> {
        if self.restoring().symlink_metadata().is_err() {
            return Ok(());
        }
        Err(invalid(format!(
            "{}: a restore was not finished; run `cairn db restore` again, with the same backup",
            self.path.display()
        )))
    }

    /// Syncs the folder, which makes created and renamed files durable.
    pub(super) fn sync_folder(&self) -> io::Result<()> {
        cairn_model::file::sync(self.path.parent().unwrap_or(Path::new("/")))
    }

    pub(super) fn failed(&self, error: &io::Error) -> StoreError {
        StoreError::Database(format!(
            "{}: {error}: check that the folder exists and that you may write to it and to the file",
            self.path.display()
        ))
    }

    fn unusable(&self, what: &str) -> StoreError {
        invalid(format!(
            "{} cannot be a database: {what}; name a file with --db",
            self.path.display()
        ))
    }
}

/// Returns an `InvalidInput` error: the name is wrong, or another file prevents the operation.
pub(super) fn invalid(message: impl Into<String>) -> StoreError {
    TaskError::new("InvalidInput", message).into()
}

/// Returns whether the file exists and is not empty.
pub(super) fn has_content(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.len() > 0)
}

/// Resolves the path of a file that does not exist yet, through links that point to it and through its folder.
fn future(name: &Path) -> PathBuf {
    let mut path = std::path::absolute(name).unwrap_or_else(|_| name.to_owned());
    for _ in 0..LINKS {
        let Ok(target) = fs::read_link(&path) else {
            break;
        };
        path = path
            .parent()
            .map_or_else(|| target.clone(), |folder| folder.join(&target));
    }
    if path.as_os_str().as_bytes().ends_with(b"/") {
        return path;
    }
    match (path.parent().map(fs::canonicalize), path.file_name()) {
        (Some(Ok(folder)), Some(file)) => folder.join(file),
        _ => path,
    }
}

/// The files of an open database: the file itself, its write-ahead log, and the log's index. When one of these paths names
/// another file or none, no other process sees this process's commits, and they are lost when it ends.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) file: DatabaseFile,
    parts: [(PathBuf, FileId); 3],
}

impl Held {
    /// Records the identities of the files, which must exist: the database has identity `id`, is open, and in WAL mode.
    pub(super) fn of(file: &DatabaseFile, id: FileId) -> Result<Self, StoreError> {
        let part = |suffix: &str| {
            let path = file.beside(suffix);
            FileId::of(&path)
                .map(|id| (path, id))
                .map_err(|error| file.failed(&error))
        };
        let held = Self {
            file: file.clone(),
            parts: [(file.path.clone(), id), part("-wal")?, part("-shm")?],
        };
        held.check()?;
        Ok(held)
    }

    /// Checks that each path names the open file.
    ///
    /// # Errors
    /// [`StoreError::Gone`].
    pub(super) fn check(&self) -> Result<(), StoreError> {
        for (path, id) in &self.parts {
            if FileId::of(path).ok() != Some(*id) {
                return Err(StoreError::Gone(path.clone()));
            }
        }
        Ok(())
    }
}
