use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use cairn::error::Diagnostic;
use cairn::file;
use clap::Args;
use serde::Serialize;

use crate::args::Format;
use crate::exit::Failure;
use crate::output::{self, count};
use crate::report;
use crate::session::Session;
use crate::settings::beside;

/// Write a backup: the database as of one moment, with its components and its master key
///
/// Flows can run meanwhile. Beside FILE stand then `FILE.components`, the components that stored flows were called with, and
/// `FILE.key`, the master key, where there are any: without them flows cannot be reverted and keys cannot be opened. So
/// `cairn --db FILE …` works on the backup as it is; to restore, copy the three back together, under the database's name. Who can
/// read both FILE and FILE.key can open every key: keep them as safe as the database's own.
///
/// Nothing is ever overwritten, and FILE is there only when all is written.
#[derive(Args, Debug)]
pub struct Backup {
    /// Where to; no such file may be there
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    format: Format,
}

/// More than a master key has, in bytes.
const MAX_KEY: u64 = 1 << 10;

/// What was written.
#[derive(Serialize)]
struct Document {
    database: String,
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
        let reader = session.reader()?;
        let mut made = Made::default();
        let partial = beside(&self.file, ".partial");
        let components = beside(&self.file, ".components");
        let master_key = beside(&self.file, ".key");
        // A log that an older database left would be taken for the backup's own.
        let logs = ["-wal", "-shm", "-journal"].map(|suffix| beside(&self.file, suffix));
        for path in [&self.file, &partial, &components, &master_key]
            .into_iter()
            .chain(&logs)
        {
            if path.symlink_metadata().is_ok() {
                return Err(taken(path));
            }
        }
        // Holds the name until the backup is whole.
        File::create_new(&self.file).map_err(|error| unwritten(&self.file, &error))?;
        made.0.push(self.file.clone());

        // The database first: what it refers to was written before it was.
        reader.backup(&partial)?;
        made.0.push(partial.clone());
        let document = Document {
            database: self.file.display().to_string(),
            components: copy_components(&session.settings.components, &components, &mut made)?,
            master_key: copy_key(&session.settings.master_key, &master_key, &mut made)?,
        };
        fs::rename(&partial, &self.file)
            .and_then(|()| sync_parent(&self.file))
            .map_err(|error| unwritten(&self.file, &error))?;
        made.0.clear();
        if self.format.json {
            return output::json(&document);
        }
        output::print(&text(&document))
    }
}

/// What was made so far; removed when the backup fails.
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

/// Copies the components that are whole; those that are being written have no name yet.
fn copy_components(from: &Path, to: &Path, made: &mut Made) -> Result<Option<Components>, Failure> {
    let entries = file::optional(from, fs::read_dir(from)).map_err(|error| unread(from, &error))?;
    let Some(entries) = entries else {
        return Ok(None);
    };
    fs::create_dir(to).map_err(|error| unwritten(to, &error))?;
    made.0.push(to.to_owned());
    let mut files = 0;
    for entry in entries {
        let path = entry.map_err(|error| unread(from, &error))?.path();
        let (Some(name), true) = (
            path.file_name(),
            path.extension()
                .is_some_and(|extension| extension == "wasm"),
        ) else {
            continue;
        };
        let target = to.join(name);
        let mut source = file::open(&path).map_err(|error| unread(&path, &error))?;
        File::create_new(&target)
            .and_then(|mut file| {
                io::copy(&mut source, &mut file)?;
                file.sync_all()
            })
            .map_err(|error| unwritten(&target, &error))?;
        files += 1;
    }
    file::sync(to).map_err(|error| unwritten(to, &error))?;
    Ok(Some(Components {
        folder: to.display().to_string(),
        files,
    }))
}

/// Copies the master key, for the owner alone. There is none before the first key is made.
fn copy_key(from: &Path, to: &Path, made: &mut Made) -> Result<Option<String>, Failure> {
    let key =
        file::optional(from, file::read(from, MAX_KEY)).map_err(|error| unread(from, &error))?;
    let Some(bytes) = key else {
        return Ok(None);
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(|error| unwritten(to, &error))?;
    made.0.push(to.to_owned());
    file.write_all(&bytes)
        .and_then(|()| file.sync_all())
        .map_err(|error| unwritten(to, &error))?;
    Ok(Some(to.display().to_string()))
}

/// Names are on disk when their folder is.
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    file::sync(parent.unwrap_or(Path::new(".")))
}

fn taken(path: &Path) -> Failure {
    Diagnostic::new(format!(
        "{} is there already, and a backup never overwrites",
        path.display()
    ))
    .help("name another file, or move this one away")
    .into()
}

fn unread(path: &Path, error: &io::Error) -> Failure {
    Failure::host(format!("{} cannot be read: {error}", path.display()))
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::AlreadyExists {
        return taken(path);
    }
    Failure::host(format!(
        "{} cannot be written: {error}; check that the folder exists and that you may write to it",
        path.display()
    ))
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
