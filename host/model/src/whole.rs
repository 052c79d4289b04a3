//! Writes a file atomically: under another name first, so that no reader sees a part of it.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::file;

/// Options for writing a file atomically.
#[derive(Clone, Copy, Debug)]
pub struct Whole {
    /// The permission bits, restricted by the process's mask.
    pub mode: u32,
    /// Whether it may replace another file. If not, an existing file is an error, and is kept.
    pub replaces: bool,
    /// Whether the file and its name are on disk when `write` returns.
    pub is_durable: bool,
}

impl Whole {
    /// Writes the file at `path`. `fill` writes its contents.
    ///
    /// # Errors
    /// Those of `fill`, and of the file system. Nothing new is visible then, unless only the last step failed, which syncs the
    /// folder; a process that dies may leave a file whose name begins with `.new-`. [`io::ErrorKind::AlreadyExists`] when a
    /// file exists that may not be replaced.
    pub fn write(
        self,
        path: &Path,
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<()> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut new = tempfile::Builder::new()
            .prefix(".new-")
            .permissions(Permissions::from_mode(self.mode))
            .tempfile_in(folder)?;
        fill(new.as_file_mut())?;
        if self.is_durable {
            new.as_file().sync_all()?;
        }
        if self.replaces {
            new.persist(path)?;
        } else {
            new.persist_noclobber(path)?;
        }
        if self.is_durable {
            file::sync(folder)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    const ANY: Whole = Whole {
        mode: 0o600,
        replaces: true,
        is_durable: true,
    };

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn a_file_is_there_whole_with_its_mode_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        ANY.write(&path, |file| file.write_all(b"first")).unwrap();
        let half = ANY.write(&path, |file| {
            file.write_all(b"sec")?;
            Err(io::Error::other("no more"))
        });
        assert_eq!(half.unwrap_err().to_string(), "no more");
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        ANY.write(&path, |file| file.write_all(b"third")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"third");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn a_file_that_may_not_be_replaced_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let once = Whole {
            replaces: false,
            ..ANY
        };
        once.write(&path, |file| file.write_all(b"first")).unwrap();
        let again = once.write(&path, |file| file.write_all(b"second"));
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn a_name_without_a_folder_is_of_the_working_folder() {
        let missing = Path::new("no-such-folder/a");
        let error = ANY.write(missing, |_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
