//! The lock file beside a manifest: reading it, and writing it whole or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cairn::error::Diagnostic;
use cairn::file::{self, MAX_TEXT};
use cairn::lock::{Difference, Lock};
use cairn::manifest::Manifest;
use cairn::plan::Inspected;

use crate::exit::Failure;

/// Plugins of a manifest, by their keys.
type Plugins = BTreeMap<String, Inspected>;

/// Refuses plugins that are not as the manifest's lock file has them.
///
/// # Errors
/// What differs; when the lock file cannot be read, or is not there.
pub fn check(manifest: &Manifest, plugins: &Plugins) -> Result<(), Failure> {
    let path = path(manifest)?;
    let Some(locked) = read(&path)? else {
        return Err(Diagnostic::new("there is no lock file")
            .at(&path, None)
            .help(format!(
                "look at the plan, and write it with `cairn plan {} --lock`",
                manifest.file.display()
            ))
            .into());
    };
    Ok(locked.check(&Lock::of(manifest, plugins), &path)?)
}

/// Writes the manifest's lock file. Returns where, and what differs from the one that was there.
///
/// # Errors
/// When it cannot be written.
pub fn write(
    manifest: &Manifest,
    plugins: &Plugins,
) -> Result<(PathBuf, Vec<Difference>), Failure> {
    let path = path(manifest)?;
    let lock = Lock::of(manifest, plugins);
    // One that cannot be read is what is to be written anew.
    let before = read(&path).ok().flatten();
    let temporary = path.with_extension(format!("lock.{}", std::process::id()));
    let written = fs::write(&temporary, lock.to_text(&manifest.file))
        .and_then(|()| fs::rename(&temporary, &path));
    if let Err(error) = written {
        // Nothing of it may stay; whether it is there is not known.
        let _ = fs::remove_file(&temporary);
        return Err(
            Diagnostic::new(format!("the lock file cannot be written: {error}"))
                .at(&path, None)
                .into(),
        );
    }
    let differences = before.map(|before| before.differences(&lock));
    Ok((path, differences.unwrap_or_default()))
}

fn path(manifest: &Manifest) -> Result<PathBuf, Diagnostic> {
    let path = Lock::path(&manifest.file);
    if path == manifest.file {
        return Err(
            Diagnostic::new("the manifest has the name of its own lock file")
                .at(&path, None)
                .help("call it something that ends in .toml"),
        );
    }
    Ok(path)
}

fn read(path: &Path) -> Result<Option<Lock>, Diagnostic> {
    let text = file::optional(path, file::text(path, MAX_TEXT)).map_err(|error| {
        Diagnostic::new(format!("the lock file cannot be read: {error}")).at(path, None)
    })?;
    text.map(|text| Lock::parse(&text, path)).transpose()
}
