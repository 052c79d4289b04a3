//! Users with passwords, in a file of the operator.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use cairn::Diagnostic;
use cairn::file::{self, MAX_TEXT};
use parking_lot::Mutex;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::User;
use crate::error::ApiError;
use crate::readers::blocking;

/// How long a password that was right is known to be right: its hash takes a tenth of a second to compute.
const FRESH: Duration = Duration::from_secs(60);

/// Interval between two looks at the file.
const LOOK: Duration = Duration::from_secs(1);

/// How many hashes are computed at once: they use a processor each.
const HASHING: usize = 2;

/// How many right passwords are remembered.
const MOST: usize = 1_000;

/// A hash that no password has, to be checked for users that do not exist: the time then says nothing.
const NOBODY: &str = "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW";

/// The users of the file.
pub(crate) struct Users {
    file: PathBuf,
    read: Mutex<ReadFile>,
    right: Mutex<HashMap<[u8; 32], Instant>>,
    /// Keeps the remembered passwords from being guessed in a copy of this memory's digests.
    salt: [u8; 16],
    hashing: Arc<Semaphore>,
}

struct ReadFile {
    users: Arc<BTreeMap<String, Entry>>,
    looked: Instant,
    modified: Option<SystemTime>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    users: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// The bcrypt hash of the password.
    password: String,
    projects: Vec<String>,
    #[serde(default)]
    roles: Vec<String>,
}

impl Users {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, or is wrong.
    pub(crate) fn open(file: &Path) -> Result<Self, Diagnostic> {
        let modified = modified(file);
        let users = Arc::new(parse(file)?);
        let mut salt = [0; 16];
        getrandom::fill(&mut salt)
            .map_err(|error| Diagnostic::new(format!("this machine has no randomness: {error}")))?;
        Ok(Self {
            file: file.to_owned(),
            read: Mutex::new(ReadFile {
                users,
                looked: Instant::now(),
                modified,
            }),
            right: Mutex::default(),
            salt,
            hashing: Arc::new(Semaphore::new(HASHING)),
        })
    }

    /// Returns the users as they are now. A file that has become wrong is not used: the one before it stands.
    fn users(&self) -> Arc<BTreeMap<String, Entry>> {
        let mut read = self.read.lock();
        if read.looked.elapsed() < LOOK {
            return Arc::clone(&read.users);
        }
        read.looked = Instant::now();
        let modified = modified(&self.file);
        if modified != read.modified {
            match parse(&self.file) {
                Ok(users) => {
                    read.users = Arc::new(users);
                    self.right.lock().clear();
                }
                Err(error) => tracing::error!(%error, "the users stay as they were"),
            }
            read.modified = modified;
        }
        Arc::clone(&read.users)
    }

    /// Returns a user.
    ///
    /// # Errors
    /// When the server stops.
    pub(crate) async fn find(self: &Users, name: &str) -> Result<Option<User>, ApiError> {
        Ok(self.users().get(name).map(|entry| user(name, entry)))
    }

    /// Returns the user with this name and password.
    ///
    /// # Errors
    /// When the server stops.
    pub(crate) async fn check(&self, name: &str, password: &str) -> Result<Option<User>, ApiError> {
        let users = self.users();
        let entry = users.get(name);
        let hash = entry
            .map_or(NOBODY, |entry| entry.password.as_str())
            .to_owned();
        let known = self.digest(name, password, &hash);
        let is_known = |at: &Instant| at.elapsed() < FRESH;
        let mut is_right = self.right.lock().get(&known).is_some_and(is_known);
        if !is_right {
            let permit = Arc::clone(&self.hashing).acquire_owned().await;
            let permit = permit.map_err(|_| ApiError::stopping())?;
            let password = password.to_owned();
            is_right = blocking(move || {
                let _permit = permit;
                Ok(bcrypt::verify(password, &hash).unwrap_or(false))
            })
            .await?;
            if is_right {
                let mut right = self.right.lock();
                if right.len() >= MOST {
                    right.clear();
                }
                right.insert(known, Instant::now());
            }
        }
        Ok(entry.filter(|_| is_right).map(|entry| user(name, entry)))
    }

    fn digest(&self, name: &str, password: &str, hash: &str) -> [u8; 32] {
        let mut digest = Sha256::new_with_prefix(self.salt);
        for part in [name, password, hash] {
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }
}

fn user(name: &str, entry: &Entry) -> User {
    User {
        user_id: name.to_owned(),
        projects: entry.projects.clone(),
        roles: entry.roles.clone(),
    }
}

fn modified(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file).ok()?.modified().ok()
}

fn parse(path: &Path) -> Result<BTreeMap<String, Entry>, Diagnostic> {
    let help = "write, for each user: [users.NAME], password = \"HASH\" (as `htpasswd -nB NAME` prints it after the colon), \
                projects = [\"P\"], roles = [\"member\"]";
    let wrong = |problem: String| {
        Diagnostic::new(format!("the users cannot be read: {problem}"))
            .at(path, None)
            .help(help)
    };
    let text = file::text(path, MAX_TEXT).map_err(|error| wrong(error.to_string()))?;
    let document: Document =
        toml::from_str(&text).map_err(|error| wrong(error.message().to_owned()))?;
    for (name, entry) in &document.users {
        let is_hash = ["$2a$", "$2b$", "$2y$"]
            .iter()
            .any(|version| entry.password.starts_with(version));
        if !is_hash || entry.password.parse::<bcrypt::HashParts>().is_err() {
            return Err(wrong(format!("the password of `{name}` is no bcrypt hash")));
        }
        if entry.projects.is_empty() {
            return Err(wrong(format!("`{name}` has no project")));
        }
    }
    Ok(document.users)
}
