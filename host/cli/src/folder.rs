//! Writes a set of files to a folder, all or none, and overwrites nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use cairn::Diagnostic;

use crate::exit::{Exit, Failure};

/// Writes files, keyed by their paths in `folder`, which is created if it does not exist.
///
/// # Errors
/// When one of the files exists, or cannot be written; the files and folders that were created before it are removed.
pub fn write(folder: &Path, files: &BTreeMap<String, String>) -> Result<(), Failure> {
    let taken: Vec<&str> = files
        .keys()
        .filter(|name| folder.join(name).symlink_metadata().is_ok())
        .map(String::as_str)
        .collect();
    if !taken.is_empty() {
        return Err(
            Diagnostic::new(format!("already there: {}", taken.join(", ")))
                .at(folder, None)
                .help("name another folder; nothing was changed")
                .into(),
        );
    }
    let mut made = Made::default();
    for (name, text) in files {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        made.folder(parent)
            .and_then(|()| made.file(&path, text))
            .map_err(|error| unwritten(&path, &error))?;
    }
    made.0.clear();
    Ok(())
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    let diagnostic = Diagnostic::new(format!("{} cannot be written: {error}", path.display()));
    match error.kind() {
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory | ErrorKind::InvalidFilename => {
            diagnostic.help("name another folder").into()
        }
        _ => Failure {
            exit: Exit::Host,
            diagnostic: diagnostic
                .help("check that you may write there, and that the disk is not full"),
        },
    }
}

/// Paths that were created so far; removed on drop unless cleared.
#[derive(Default)]
struct Made(Vec<PathBuf>);

impl Made {
    /// Creates a folder and its missing parents.
    fn folder(&mut self, path: &Path) -> io::Result<()> {
        if path.is_dir() || path == Path::new("") {
            return Ok(());
        }
        if let Some(above) = path.parent() {
            self.folder(above)?;
        }
        match fs::create_dir(path) {
            // `a/..` exists once `a` does.
            Err(_) if path.is_dir() => Ok(()),
            made => made.map(|()| self.0.push(path.to_owned())),
        }
    }

    fn file(&mut self, path: &Path, text: &str) -> io::Result<()> {
        let mut file = File::create_new(path)?;
        self.0.push(path.to_owned());
        file.write_all(text.as_bytes())
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            // A folder in which another process wrote meanwhile stays.
            let removed = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
            if let Err(error) = removed {
                tracing::warn!(path = %path.display(), %error, "a file could not be removed after another one could not be written");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> BTreeMap<String, String> {
        let files = names.iter();
        files
            .map(|name| ((*name).to_owned(), format!("text of {name}")))
            .collect()
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn folders_are_made_as_deep_as_they_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        write(&deep, &files(&["x", "c/y"])).unwrap();
        assert_eq!(fs::read_to_string(deep.join("c/y")).unwrap(), "text of c/y");
        assert_eq!(names(&deep), ["c", "x"]);
    }

    #[test]
    fn what_is_there_is_named_and_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("y"), "mine").unwrap();
        // A dangling link exists, too.
        std::os::unix::fs::symlink("nowhere", folder.path().join("z")).unwrap();
        let error = write(folder.path(), &files(&["x", "y", "z"])).unwrap_err();
        assert_eq!(error.diagnostic.message, "already there: y, z");
        assert_eq!(names(folder.path()), ["y", "z"]);
        assert_eq!(fs::read_to_string(folder.path().join("y")).unwrap(), "mine");
    }

    #[test]
    fn a_file_that_cannot_be_written_takes_the_others_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let long = "n".repeat(300);
        let error = write(&folder.path().join("a/b"), &files(&["c/x", &long]));
        assert!(error.is_err());
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }
}
