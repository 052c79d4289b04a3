use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Why there is no server.
#[derive(Clone, Debug)]
pub struct Missing(pub(crate) String);

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}; install PostgreSQL (Debian: apt-get install postgresql)",
            self.0
        )
    }
}

/// The folder of the binaries of PostgreSQL: the newest that `pg_config`, Debian's folders or `PATH` know.
pub(crate) fn binaries() -> Result<PathBuf, Missing> {
    let configured = Command::new("pg_config").arg("--bindir").output();
    let configured = configured.ok().map(|output| {
        let folder = String::from_utf8_lossy(&output.stdout);
        PathBuf::from(folder.trim())
    });
    let mut debian: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .collect();
    let version = |folder: &PathBuf| -> u32 {
        let name = folder.parent().and_then(Path::file_name);
        let name = name.and_then(|name| name.to_str());
        name.and_then(|name| name.parse().ok()).unwrap_or(0)
    };
    debian.sort_by_key(|folder| std::cmp::Reverse(version(folder)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut folders = configured.into_iter().chain(debian).chain(path);
    let has_all = |folder: &PathBuf| {
        let needed = ["initdb", "postgres", "psql"];
        needed.iter().all(|name| folder.join(name).exists())
    };
    let found = folders.find(has_all);
    found.ok_or_else(|| Missing("no folder holds initdb, postgres and psql".to_owned()))
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uid.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}

/// The user that the server runs as: PostgreSQL does not run as root. `None`: that of this process.
pub(crate) fn user() -> Result<Option<(u32, u32)>, Missing> {
    if !is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")
        .map_err(|error| Missing(format!("/etc/passwd: {error}")))?;
    let named = |name: &str| {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (user, _) = (fields.next()?, fields.next()?);
            let ids = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            (user == name).then_some(ids)
        })
    };
    let found = named("postgres").or_else(|| named("nobody"));
    match found {
        Some(ids) => Ok(Some(ids)),
        None => Err(Missing(
            "this is root, and there is no user `postgres` or `nobody` for the server".to_owned(),
        )),
    }
}
