//! Which file a database is, however it is named, and whether it still is that file.

use std::ffi::OsStr;
use std::fs::{self, Metadata, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use cairn_model::error::TaskError;

use crate::StoreError;

/// Links that are followed for a database that is not there yet, as many as the system follows.
const LINKS: usize = 40;

/// The longest name of a file, in bytes, on the file systems in use.
const LONGEST_NAME: usize = 255;

/// The longest suffix of a file that is made beside a database.
const LONGEST_SUFFIX: &str = ".restoring.partial";

/// The file of a database: one path for all names that lead to it. Locks, components and the master key are derived from
/// that path, so all names have them in common.
///
/// The name is a path and nothing else: SQLite's URIs and `:memory:` name files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseFile {
    path: PathBuf,
}

/// What the system knows a file by.
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
    /// Resolves a name, following symbolic links, also where the file is not there yet. Never fails: what is wrong with the
    /// name is said when it is used.
    pub fn named(name: &Path) -> Self {
        Self {
            path: fs::canonicalize(name).unwrap_or_else(|_| future(name)),
        }
    }

    /// The path without links; absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `<path><suffix>`, as in `cairn.db.key`.
    pub fn beside(&self, suffix: &str) -> PathBuf {
        beside(&self.path, suffix)
    }

    /// Whether there is a database. An empty file counts as none: SQLite makes a database of it.
    ///
    /// # Errors
    /// `InvalidInput` when the name cannot be that of a database: a folder, a device, a pipe; [`StoreError::Database`] when the
    /// file cannot be looked at.
    pub fn exists(&self) -> Result<bool, StoreError> {
        Ok(self.look()?.is_some_and(|found| found.len() > 0))
    }

    /// The file, when it is there; refuses what can never be a database.
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

    /// The file, which is made, empty, when it is not there.
    pub(super) fn make(&self) -> Result<FileId, StoreError> {
        self.check_restored()?;
        if let Some(found) = self.look()? {
            return Ok(FileId::from(&found));
        }
        // Only a file that is new may be closed here: to close one that SQLite has open ends SQLite's locks on it.
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

    /// The database that is put in this one's place, once it is whole.
    pub(super) fn restoring(&self) -> PathBuf {
        self.beside(".restoring")
    }

    /// Refuses a database of which only parts are restored.
    pub(super) fn check_restored(&self) -> Result<(), StoreError> {
        if self.restoring().symlink_metadata().is_err() {
            return Ok(());
        }
        Err(invalid(format!(
            "{}: a restore was not finished; run `cairn db restore` again, with the same backup",
            self.path.display()
        )))
    }

    /// Names are on disk when their folder is.
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

/// What was asked cannot be done as it was asked: the name is wrong, or a file stands in the way.
pub(super) fn invalid(message: impl Into<String>) -> StoreError {
    TaskError::new("InvalidInput", message).into()
}

/// `<path><suffix>`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Whether a file has something in it; not whether it is there.
pub(super) fn has_content(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.len() > 0)
}

/// Where a file will be that is not there: the folder is, or a link that points to where it is made.
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

/// The files of a database that is open: itself, its log, and the log's index. When one of these paths names another file, or
/// none, what this process commits is seen by no other and gone with this one.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) file: DatabaseFile,
    parts: [(PathBuf, FileId); 3],
}

impl Held {
    /// Takes note of the files, which must be there: the database is `id`, is open, and in WAL mode.
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

    /// Whether each path names the file that is open.
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
