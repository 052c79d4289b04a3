use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use cairn::Diagnostic;
use cairn::clock::{Clock as _, SystemClock};
use clap::Args;
use serde::Serialize;

use super::parts::{self, beside, components_in, sync_parent};
use crate::args::Format;
use crate::exit::Failure;
use crate::output::{self, count};
use crate::report;
use crate::session::Session;

/// Back up the database as of one moment, with its master key
///
/// Flows can run meanwhile. The master key is copied to `FILE.key`, if there is one: without it keys cannot be decrypted. So
/// `cairn --db FILE …` works on the backup directly, and `cairn db restore FILE` restores both. The components of stored flows are in the
/// database; those that an older version kept in a folder, and that no command has stored yet, are copied to `FILE.components`. Until something writes to FILE it is marked as a backup, and is refused if it was
/// copied beside the log of another database. FILE and FILE.key together decrypt every key: protect them like the database's own,
/// or leave the key out with --without-key. A master key that a command writes is never copied.
///
/// Nothing is overwritten, and FILE stays empty until the backup is complete.
#[derive(Args, Debug)]
pub struct Backup {
    /// File to write; it must not exist
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Do not copy the master key
    #[arg(long)]
    without_key: bool,
    #[command(flatten)]
    format: Format,
}

/// What was written.
#[derive(Serialize)]
struct Document {
    database: String,
    /// Those of an older version.
    components: Option<Components>,
    master_key: Option<String>,
}

#[derive(Serialize)]
struct Components {
    folder: String,
    files: usize,
}

impl Backup {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        let reader = session.any_reader()?;
        let mut made = Made::default();
        let partial = beside(&self.file, ".partial");
        let components = beside(&self.file, ".components");
        let master_key = beside(&self.file, ".key");
        // SQLite would take a log that an older database left for the backup's own.
        let logs = ["-wal", "-shm", "-journal"].map(|suffix| beside(&self.file, suffix));
        for path in [&self.file, &partial, &components, &master_key]
            .into_iter()
            .chain(&logs)
        {
            if path.symlink_metadata().is_ok() {
                return Err(taken(path));
            }
        }
        // Reserves the name until the backup is complete.
        File::create_new(&self.file).map_err(|error| unwritten(&self.file, &error))?;
        made.0.push(self.file.clone());

        // The database first: components of an older version and the key are written before the rows that refer to them.
        let begun = SystemClock.now();
        reader.backup(&partial)?;
        made.0.push(partial.clone());
        let document = Document {
            database: self.file.display().to_string(),
            components: copy_components(
                &session.settings.old_components(),
                &components,
                &mut made,
            )?,
            master_key: match session.settings.key_file() {
                Some(key) if !self.without_key => copy_key(key, &master_key, &mut made)?,
                _ => None,
            },
        };
        fs::rename(&partial, &self.file)
            .and_then(|()| sync_parent(&self.file))
            .map_err(|error| unwritten(&self.file, &error))?;
        made.0.clear();
        // To write to a database of an older version would change what the backup was made for: see `cairn db migrate`.
        let is_old = reader.require_newest().is_err() || document.components.is_some();
        drop(reader);
        if is_old {
            session.warn(&unnoted("it is of an older version"));
        } else if let Err(failure) = session.note_facts(|admin| admin.note_backup(begun)) {
            session.warn(&unnoted(&failure.diagnostic.message));
        }
        if self.format.is_json() {
            return output::document(self.format, &document);
        }
        output::print(&text(&document))
    }
}

fn unnoted(why: &str) -> String {
    format!(
        "the backup is complete, but `cairn status` will not know of it, as it could not be noted in the database: {why}"
    )
}

/// Files that were created so far; removed on drop unless cleared.
#[derive(Default)]
struct Made(Vec<PathBuf>);

impl Drop for Made {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            let removed = if path.is_dir() {
                fs::remove_dir_all(path)
            } else {
                fs::remove_file(path)
            };
            if let Err(error) = removed
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(file = %path.display(), %error, "a part of a backup that failed could not be removed");
            }
        }
    }
}

fn copy_components(from: &Path, to: &Path, made: &mut Made) -> Result<Option<Components>, Failure> {
    let Some(files) = components_in(from)? else {
        return Ok(None);
    };
    fs::create_dir(to).map_err(|error| unwritten(to, &error))?;
    made.0.push(to.to_owned());
    for file in &files {
        parts::copy_into(file, to)?;
    }
    parts::sync_folder(to)?;
    Ok(Some(Components {
        folder: to.display().to_string(),
        files: files.len(),
    }))
}

/// Copies the master key, which does not exist before the first key is created.
fn copy_key(from: &Path, to: &Path, made: &mut Made) -> Result<Option<String>, Failure> {
    let Some(key) = parts::key_in(from)? else {
        return Ok(None);
    };
    parts::write_key(to, &key).map_err(|error| unwritten(to, &error))?;
    made.0.push(to.to_owned());
    Ok(Some(to.display().to_string()))
}

fn taken(path: &Path) -> Failure {
    Diagnostic::new(format!(
        "{} exists already, and a backup never overwrites",
        path.display()
    ))
    .help("name another file, or move this one away")
    .into()
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::AlreadyExists {
        return taken(path);
    }
    parts::unwritten(path, error)
}

fn text(document: &Document) -> String {
    let mut text = String::new();
    report::line(&mut text, "database", &document.database);
    if let Some(components) = &document.components {
        let about = format!("{}  {}", components.folder, count(components.files, "file"));
        report::line(&mut text, "plugins", &about);
    }
    if let Some(key) = &document.master_key {
        report::line(&mut text, "key", key);
    }
    text
}
