use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn::clock::SystemClock;
use cairn::store::{DatabaseFile, Restore};
use clap::Args;
use serde::Serialize;

use super::parts::{self, beside, components_in, key_in};
use crate::args::Format;
use crate::exit::Failure;
use crate::output::{self, count};
use crate::report;
use crate::session::Session;

/// Put a backup in the place of the database, with its components and its master key
///
/// The database is the one that --db names; it may be there, damaged or not, or be gone. While a process works on it, it is left as it
/// is. BACKUP is checked before anything changes, and only read; beside it are looked for `BACKUP.components` and `BACKUP.key`.
///
/// Nothing is destroyed: a database that is there is renamed to `DB.replaced`, with its log, and its master key is kept as
/// `DB.replaced.key`. Components are added to those that are there. When a restore is cut short, the database is refused until the
/// same command is given again.
#[derive(Args, Debug)]
pub struct RestoreBackup {
    /// What `cairn db backup` wrote
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
    #[command(flatten)]
    format: Format,
}

/// What was put back.
#[derive(Serialize)]
struct Document {
    database: String,
    /// How many were put into the folder of components.
    components: Option<usize>,
    master_key: Option<String>,
    /// Where the database is that was there before.
    replaced: Option<String>,
}

impl RestoreBackup {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        let settings = &session.settings;
        let backup = DatabaseFile::named(&self.backup);
        let restore = Restore::stage(backup.path(), settings.db.path(), Arc::new(SystemClock))?;
        let components = add_components(&backup.beside(".components"), &settings.components)?;
        let key = StagedKey::new(&backup.beside(".key"), &settings.master_key)?;
        let replaced = restore.begin()?;
        if let Some(replaced) = &replaced {
            keep_key(&settings.master_key, &beside(replaced, ".key"))?;
        }
        let master_key = key.map(StagedKey::put).transpose()?;
        restore.finish()?;
        let shown = |path: PathBuf| path.display().to_string();
        let document = Document {
            database: settings.db_name.display().to_string(),
            components,
            master_key: master_key.map(shown),
            replaced: replaced.map(shown),
        };
        if self.format.is_json() {
            return output::document(self.format, &document);
        }
        output::print(&text(&document))
    }
}

/// Adds the backup's components to those of the database; says how many there were.
fn add_components(from: &Path, to: &Path) -> Result<Option<usize>, Failure> {
    let Some(files) = components_in(from)? else {
        return Ok(None);
    };
    fs::create_dir_all(to).map_err(|error| parts::unwritten(to, &error))?;
    for file in &files {
        parts::copy_into(file, to)?;
    }
    parts::sync_folder(to)?;
    Ok(Some(files.len()))
}

/// The backup's master key, beside its place.
struct StagedKey {
    staged: PathBuf,
    to: PathBuf,
}

impl StagedKey {
    /// `None` when the backup has no key: one that is there stays, for it opens nothing in the backup and hurts nobody.
    fn new(from: &Path, to: &Path) -> Result<Option<Self>, Failure> {
        let Some(key) = key_in(from)? else {
            return Ok(None);
        };
        let staged = beside(to, ".restoring");
        let written = match fs::remove_file(&staged) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => parts::write_key(&staged, &key),
        };
        written.map_err(|error| parts::unwritten(&staged, &error))?;
        Ok(Some(Self {
            staged,
            to: to.to_owned(),
        }))
    }

    fn put(self) -> Result<PathBuf, Failure> {
        fs::rename(&self.staged, &self.to)
            .and_then(|()| parts::sync_parent(&self.to))
            .map_err(|error| parts::unwritten(&self.to, &error))?;
        Ok(self.to.clone())
    }
}

impl Drop for StagedKey {
    fn drop(&mut self) {
        // It is not there once it was put in its place.
        let _ = fs::remove_file(&self.staged);
    }
}

/// Keeps a copy of the key that opens what is in the database that is set aside.
fn keep_key(from: &Path, to: &Path) -> Result<(), Failure> {
    let Some(key) = key_in(from)? else {
        return Ok(());
    };
    parts::write_key(to, &key).map_err(|error| parts::unwritten(to, &error))
}

fn text(document: &Document) -> String {
    let mut text = String::new();
    report::line(&mut text, "database", &document.database);
    if let Some(components) = document.components {
        report::line(&mut text, "plugins", &count(components, "file"));
    }
    if let Some(key) = &document.master_key {
        report::line(&mut text, "key", key);
    }
    if let Some(replaced) = &document.replaced {
        let about = format!("{replaced}  what was there before; remove it when it is not needed");
        report::line(&mut text, "replaced", &about);
    }
    text
}
