use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn::clock::{Clock as _, SystemClock};
use cairn::file;
use cairn::keyring::KeySource;
use cairn::store::{DatabaseFile, Location, Restore, postgres};
use cairn::{Diagnostic, StoreError};
use clap::Args;
use serde::Serialize;

use super::parts::{self, beside, components_in, key_in};
use crate::args::Format;
use crate::exit::Failure;
use crate::output::{self, count};
use crate::report;
use crate::session::Session;
use crate::settings::Settings;

/// Restore the database and its master key from a backup
///
/// The database is the one that --db names; it may be missing or damaged. The command is refused while a process works on it. BACKUP is
/// checked before anything changes, and is only read, as are `BACKUP.key` beside it, and `BACKUP.components` of an older version's backup,
/// if they exist.
///
/// Nothing is destroyed: an existing database is renamed to `DB.replaced`, with its log, and its master key is copied to
/// `DB.replaced.key`. If a restore is interrupted, the database is refused until the same command has run again. A database on a server must
/// be empty: it gets all rows in one transaction, and they are read back and compared.
///
/// Messages may have left since the backup was made, and flows may have ended. So the restored database is held until `cairn db release`: it
/// can be read, but no flow is run, recovered or changed, no message is delivered, and nothing is pruned. A database in a file is held only if
/// [deliver] is set: else no message leaves by itself.
#[derive(Args, Debug)]
pub struct RestoreBackup {
    /// File that `cairn db backup` wrote
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
    /// Leave the master key as it is, and do not read BACKUP.key
    #[arg(long)]
    without_key: bool,
    #[command(flatten)]
    format: Format,
}

/// What was restored.
#[derive(Serialize)]
struct Document {
    database: String,
    /// How many components of an older version's backup were copied.
    components: Option<usize>,
    master_key: Option<String>,
    /// Whether the database is held until `cairn db release`.
    held: bool,
    /// Where the previous database is.
    replaced: Option<String>,
}

impl RestoreBackup {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        let document = match &session.settings.db {
            Location::File(file) => self.to_file(session, file)?,
            Location::Server(url) => self.to_server(session, url)?,
        };
        if !document.held {
            session.note(
                "the database is released: without [deliver] no message leaves by itself; `cairn outbox list` shows messages that may have been taken since the backup",
            );
        }
        if self.format.is_json() {
            return output::document(self.format, &document);
        }
        output::print(&text(&document))
    }

    fn to_file(&self, session: &Session, file: &DatabaseFile) -> Result<Document, Failure> {
        let settings = &session.settings;
        let backup = DatabaseFile::named(&self.backup);
        let restore = Restore::stage(
            backup.path(),
            file.path(),
            settings.locks.as_deref(),
            Arc::new(SystemClock),
        )?;
        let key_file = match self.without_key {
            true => None,
            false => key_file(&backup, settings)?,
        };
        let key = match key_file {
            Some(file) => StagedKey::new(&backup.beside(".key"), file)?,
            None => None,
        };
        let held = settings.deliver.is_some();
        restore.set_held(
            held,
            &session.domains(KeySource::Memory)?,
            SystemClock.now(),
        )?;
        let replaced = restore.begin()?;
        if let Some(replaced) = &replaced {
            if let Some(file) = key_file {
                keep_key(file, &beside(replaced, ".key"))?;
            }
            keep_components(file, &beside(replaced, ".components"))?;
        }
        let from = backup.beside(".components");
        let components = add_components(&from, &file.beside(".components"))?;
        let master_key = key.map(StagedKey::put).transpose()?;
        restore.finish()?;
        Ok(Document {
            database: settings.db_name.display().to_string(),
            components,
            master_key: master_key.map(shown),
            held,
            replaced: replaced.map(shown),
        })
    }

    fn to_server(&self, session: &Session, url: &str) -> Result<Document, Failure> {
        let settings = &session.settings;
        let backup = DatabaseFile::named(&self.backup);
        let from = backup.beside(".key");
        let key_file = match self.without_key {
            true => None,
            false => key_file(&backup, settings)?,
        };
        let key = match key_file {
            Some(to) => new_key(&from, to)?,
            None => None,
        };
        let mut master_key = None;
        let copied = postgres::restore(
            &session.server(url)?,
            backup.path(),
            session.config()?,
            Arc::new(SystemClock),
            // After the commit the database is not empty, and a restore that was killed could not be repeated for its key.
            || {
                master_key = key.map(StagedKey::put).transpose()?;
                Ok(())
            },
        )?;
        super::warn_of_damage(session, &copied);
        Ok(Document {
            database: settings.db_name.display().to_string(),
            components: None,
            master_key: master_key.map(shown),
            held: true,
            replaced: None,
        })
    }
}

fn shown(path: PathBuf) -> String {
    path.display().to_string()
}

/// Stages the backup's key for a file that does not exist yet. `None` if the file has that key already, or the backup has none.
fn new_key(from: &Path, to: &Path) -> Result<Option<StagedKey>, Failure> {
    match (key_in(from)?, key_in(to)?) {
        (Some(new), Some(old)) if new == old => Ok(None),
        (Some(_), Some(_)) => Err(Diagnostic::new(format!(
            "{} is another master key than {}",
            to.display(),
            from.display()
        ))
        .help("move it away, name another file in [keys], or leave the backup's key out with --without-key")
        .into()),
        _ => StagedKey::new(from, to),
    }
}

/// Moves a folder of components that belongs to the database that is set aside.
fn keep_components(database: &DatabaseFile, to: &Path) -> Result<(), Failure> {
    let from = database.beside(".components");
    let moved = fs::rename(&from, to).and_then(|()| parts::sync_parent(to));
    let moved = file::optional(&from, moved);
    moved
        .map(drop)
        .map_err(|error| parts::unwritten(to, &error))
}

/// Copies the components of an older version's backup to where the database takes them in; returns their number.
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

/// Returns the file that the backup's master key is restored to; `None` if the master key is no file, and the backup has none.
fn key_file<'s>(
    backup: &DatabaseFile,
    settings: &'s Settings,
) -> Result<Option<&'s Path>, Failure> {
    let key = backup.beside(".key");
    match settings.key_file() {
        None if !file::is_absent(&key) => Err(Diagnostic::new(format!(
            "{} cannot be restored, because [keys] names no file for the master key of this database",
            key.display()
        ))
        .help("leave it out with --without-key, or name a file in [keys]")
        .into()),
        file => Ok(file),
    }
}

/// The backup's master key, written beside its destination.
struct StagedKey {
    staged: PathBuf,
    to: PathBuf,
}

impl StagedKey {
    /// Writes the key beside its destination. `None` if the backup has none: an existing key then stays, as nothing in the backup
    /// needs another.
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

    fn put(self) -> Result<PathBuf, StoreError> {
        fs::rename(&self.staged, &self.to)
            .and_then(|()| parts::sync_parent(&self.to))
            .map_err(|error| {
                StoreError::Database(format!("{} cannot be written: {error}", self.to.display()))
            })?;
        Ok(self.to.clone())
    }
}

impl Drop for StagedKey {
    fn drop(&mut self) {
        // Fails once the file was renamed to its destination.
        let _ = fs::remove_file(&self.staged);
    }
}

/// Copies the key of the database that is set aside.
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
    if document.held {
        let about = "until `cairn db release`, which lists the messages that may have left since the backup";
        report::line(&mut text, "held", about);
    }
    if let Some(replaced) = &document.replaced {
        let about = format!("{replaced}  the previous database; remove it when it is not needed");
        report::line(&mut text, "replaced", &about);
    }
    text
}
