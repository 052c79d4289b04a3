use std::fs;
use std::path::{Path, PathBuf};

use cairn::error::Diagnostic;
use tempfile::TempDir;

use crate::BenchError;

/// A folder on a disk for the databases of one run, which is gone with this.
pub struct Folder(TempDir);

impl Folder {
    /// A new folder in `parent`.
    ///
    /// # Errors
    /// [`BenchError::Folder`] when `parent` is kept in memory, or nothing can be made there.
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
        let folder = tempfile::Builder::new()
            .prefix(".cairn-bench-")
            .tempdir_in(parent);
        folder
            .map(Self)
            .map_err(|error| unusable(error.kind().to_string()))
    }

    /// Where a database of this name is.
    pub fn database(&self, name: &str) -> PathBuf {
        self.0.path().join(format!("{name}.db"))
    }
}

/// Whether a folder's file system writes to no disk.
fn is_in_memory(folder: &Path) -> std::io::Result<bool> {
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: i64 = 0x8584_58f6;
    let kind = rustix::fs::fstatfs(fs::File::open(folder)?)?.f_type;
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
    fn a_folder_is_gone_with_its_handle() {
        let parent = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = Folder::within(parent).unwrap();
        let database = folder.database("x");
        fs::write(&database, "x").unwrap();
        drop(folder);
        assert!(!database.parent().unwrap().exists());
    }
}
