use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use cairn::Diagnostic;
use tempfile::TempDir;

use crate::BenchError;

/// The prefix of each folder's name.
const PREFIX: &str = ".cairn-bench-";

/// The file in it that its process keeps locked. The system releases the lock when the process ends in any way.
const LOCK: &str = "lock";

/// A folder on a disk for the databases of one run. It is removed on drop.
pub struct Folder {
    folder: TempDir,
    _lock: File,
}

impl Folder {
    /// Creates a folder in `parent`, and removes the folders of dead processes there.
    ///
    /// # Errors
    /// [`BenchError::Folder`] when `parent` is kept in memory, or the folder cannot be created.
    pub fn within(parent: &Path) -> Result<Self, BenchError> {
        let unusable = |problem: String| {
            let message = format!("{}: {problem}", parent.display());
            let help = "name a database in another folder with --db; it is not touched";
            BenchError::Folder(Diagnostic::new(message).help(help))
        };
        if is_in_memory(parent).map_err(|error| unusable(error.to_string()))? {
            return Err(unusable(
                "the folder is kept in memory, where a commit costs nothing".to_owned(),
            ));
        }
        remove_abandoned(parent);
        Self::new(parent).map_err(|error| unusable(error.kind().to_string()))
    }

    fn new(parent: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        // The file gets its final name only after it is locked.
        let unlocked = folder.path().join(".lock");
        let lock = File::create_new(&unlocked)?;
        lock.lock()?;
        fs::rename(unlocked, folder.path().join(LOCK))?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the path of a database with this name.
    pub fn database(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.db"))
    }
}

/// Removes the folders of this user in `parent` whose lock exists and is free. Others may be in use.
fn remove_abandoned(parent: &Path) {
    let own = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_own = |entry: &fs::DirEntry| {
            entry
                .metadata()
                .is_ok_and(|found| found.is_dir() && found.uid() == own)
        };
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) || !is_own(&entry) {
            continue;
        }
        // The lock is held until the folder is removed, so that only one process removes it.
        if let Ok(lock) = cairn::file::open(&entry.path().join(LOCK))
            && lock.try_lock().is_ok()
        {
            // A later run tries again.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Returns whether a folder's file system is kept in memory.
fn is_in_memory(folder: &Path) -> io::Result<bool> {
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: i64 = 0x8584_58f6;
    let kind = rustix::fs::statfs(folder)?.f_type;
    Ok([TMPFS, RAMFS].contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_memory_is_refused_and_one_that_is_not_there_is_named() {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() {
            let error = Folder::within(memory).err().unwrap().to_string();
            assert!(
                error.contains("/dev/shm: the folder is kept in memory"),
                "{error}"
            );
        }
        let error = Folder::within(Path::new("/no/such"))
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("/no/such"), "{error}");
    }

    #[test]
    fn a_folder_without_a_holder_is_removed_and_no_other() {
        let parent = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let held = Folder::within(parent.path()).unwrap();
        let make = |name: &str, lock: &str| {
            let folder = parent.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join(lock), "").unwrap();
            folder
        };
        let abandoned = make(".cairn-bench-dead", LOCK);
        fs::create_dir(abandoned.join("x.db.locks")).unwrap();
        let not_sure = make(".cairn-bench-young", "x.db");
        let anothers = make("cairn-bench", LOCK);
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join(LOCK), "").unwrap();
        let link = parent.path().join(".cairn-bench-link");
        std::os::unix::fs::symlink(elsewhere.path(), &link).unwrap();

        drop(Folder::within(parent.path()).unwrap());
        assert!(!abandoned.exists());
        for folder in [&*not_sure, &*anothers, &*link, held.folder.path()] {
            assert!(folder.exists(), "{}", folder.display());
        }
        assert!(elsewhere.path().join(LOCK).exists());
    }

    #[test]
    fn a_folder_is_gone_with_its_handle() {
        let parent = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = Folder::within(parent).unwrap();
        let database = folder.database("x");
        fs::write(&database, "x").unwrap();
        drop(folder);
        assert!(!database.parent().unwrap().exists());
    }
}
