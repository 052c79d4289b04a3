//! Reads the lock file beside a manifest, and writes it whole or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use cairn::file::{self, MAX_TEXT};
use cairn::lockfile::{Difference, LockFile};
use cairn::manifest::GrantKinds;
use cairn::plan::Inspected;
use cairn::whole::Whole;
use cairn::{Diagnostic, Manifest};

use crate::exit::Failure;

/// Plugins of a manifest, by their keys.
type Plugins = BTreeMap<String, Inspected>;

/// Refuses plugins that differ from the manifest's lock file.
///
/// # Errors
/// The differences; when the lock file does not exist or cannot be read.
pub fn check(manifest: &Manifest, plugins: &Plugins, kinds: &GrantKinds) -> Result<(), Failure> {
    let path = path(manifest)?;
    let Some(locked) = read(&path, kinds)? else {
        return Err(Diagnostic::new("there is no lock file")
            .at(&path, None)
            .help(format!(
                "review the plan, and write the lock file with `cairn plan {} --lock`",
                manifest.file.display()
            ))
            .into());
    };
    Ok(locked.check(&LockFile::of(manifest, plugins, kinds), &path, kinds)?)
}

/// Writes the manifest's lock file, through a symbolic link if it is one. Returns its path and the differences from the previous one.
///
/// # Errors
/// When it cannot be written.
pub fn write(
    manifest: &Manifest,
    plugins: &Plugins,
    kinds: &GrantKinds,
) -> Result<(PathBuf, Vec<Difference>), Failure> {
    let path = path(manifest)?;
    let lock = LockFile::of(manifest, plugins, kinds);
    // A lock file that cannot be read is overwritten.
    let before = read(&path, kinds).ok().flatten();
    replace(&path, &lock.to_text(&manifest.file)).map_err(|error| {
        Diagnostic::new(format!("the lock file cannot be written: {error}")).at(&path, None)
    })?;
    let differences = before.map(|before| before.differences(&lock, kinds));
    Ok((path, differences.unwrap_or_default()))
}

/// Writes a file whole or not at all. Keeps symbolic links to it, and its permissions.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = target(path)?;
    let before = fs::metadata(&path).map(|before| before.permissions());
    let how = Whole {
        mode: 0o666,
        replaces: true,
        is_durable: false,
    };
    how.write(&path, |file| {
        file.write_all(text.as_bytes())?;
        before.map_or(Ok(()), |before| file.set_permissions(before))
    })
}

/// Follows symbolic links to the file that a path names, which need not exist.
fn target(path: &Path) -> io::Result<PathBuf> {
    /// As many links as Linux follows.
    const LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match fs::read_link(&path) {
            Ok(link) => path = path.parent().unwrap_or(Path::new("")).join(link),
            // Not a link, or nothing exists there.
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("symbolic links lead to each other"))
}

fn path(manifest: &Manifest) -> Result<PathBuf, Diagnostic> {
    let path = LockFile::path(&manifest.file);
    if path == manifest.file {
        return Err(
            Diagnostic::new("the manifest has the name of its own lock file")
                .at(&path, None)
                .help("give it a name that ends in .toml"),
        );
    }
    Ok(path)
}

fn read(path: &Path, kinds: &GrantKinds) -> Result<Option<LockFile>, Diagnostic> {
    let text = file::optional(path, file::text(path, MAX_TEXT)).map_err(|error| {
        Diagnostic::new(format!("the lock file cannot be read: {error}")).at(path, None)
    })?;
    text.map(|text| LockFile::parse(&text, path, kinds))
        .transpose()
}
