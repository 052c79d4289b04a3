//! Which process has which flows in hand: a lock that ends with its process, for the dead, and a lease that runs out, for
//! the stopped.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};

use cairn_model::clock::Timestamp;
use cairn_model::file;
use cairn_model::id::{FlowId, HostId};

use super::tx::scalar;
use crate::backend::Taken;

/// A lock that nobody holds is removed when it is this old.
const ABANDONED: Duration = Duration::from_secs(600);

/// This process as a holder of leases: its lock file, and its row in `hosts`.
pub(super) struct LeaseHolder {
    pub(super) id: HostId,
    /// The folder of locks; `None` in memory, where nobody else is.
    folder: Option<PathBuf>,
    /// Held for as long as this process lives.
    lock: Option<File>,
    /// Where its row is.
    row: Row,
    length: Duration,
    renewed: Instant,
}

/// A host's row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Row {
    /// Not there: this process wrote no flow yet.
    None,
    /// In the open batch.
    InBatch,
    /// On disk.
    OnDisk,
}

impl LeaseHolder {
    pub(super) fn new(folder: Option<PathBuf>, length: Duration) -> Self {
        Self {
            id: HostId::new(),
            folder,
            lock: None,
            row: Row::None,
            length,
            renewed: Instant::now(),
        }
    }

    /// When the lease is to be renewed; `None` without one.
    pub(super) fn renewal(&self) -> Option<Instant> {
        (self.row == Row::OnDisk).then(|| self.renewed + self.length / 3)
    }

    /// Whether the lease is to be renewed now.
    pub(super) fn is_due(&self) -> bool {
        self.renewal().is_some_and(|at| at <= Instant::now())
    }

    /// Tries again later to renew a lease that could not be.
    pub(super) fn postpone(&mut self) {
        self.renewed = Instant::now();
    }

    pub(super) fn is_registered(&self) -> bool {
        self.row != Row::None
    }

    /// Takes the lock, whose name no row tells yet.
    pub(super) fn lock(&mut self) -> io::Result<()> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        if self.lock.is_none() {
            let file = File::create(lock_path(folder, self.id))?;
            file.lock()?;
            self.lock = Some(file);
        }
        Ok(())
    }

    /// Adds the row to the open batch.
    pub(super) fn register(
        &mut self,
        connection: &Connection,
        now: Timestamp,
    ) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "INSERT INTO hosts (id, pid, started_at, expires_at) VALUES (?, ?, ?, ?)",
            )?
            .execute(params![
                self.id.0.as_bytes(),
                std::process::id(),
                now.0,
                now.after(self.length).0
            ])?;
        self.row = Row::InBatch;
        self.renewed = Instant::now();
        Ok(())
    }

    /// Whether this process may still write: nobody took its lease. Renews it when that is due.
    pub(super) fn holds(
        &mut self,
        connection: &Connection,
        now: Timestamp,
    ) -> rusqlite::Result<bool> {
        if self.row != Row::OnDisk {
            return Ok(true);
        }
        if self.is_due() {
            let renewed = connection
                .prepare_cached("UPDATE hosts SET expires_at = ? WHERE id = ?")?
                .execute(params![now.after(self.length).0, self.id.0.as_bytes()])?;
            self.renewed = Instant::now();
            return Ok(renewed > 0);
        }
        let row: Option<i64> = scalar(
            connection,
            "SELECT 1 FROM hosts WHERE id = ?",
            [self.id.0.as_bytes()],
        )?;
        Ok(row.is_some())
    }

    /// The open batch is on disk, or lost.
    pub(super) fn settle(&mut self, on_disk: bool) {
        if self.row == Row::InBatch {
            self.row = if on_disk { Row::OnDisk } else { Row::None };
        }
    }

    /// Whether another host may be taken for gone: its lock is free, or its lease has run out.
    fn is_gone(&self, other: HostId, expires_at: Timestamp, now: Timestamp) -> bool {
        expires_at < now
            || self
                .folder
                .as_ref()
                .is_some_and(|folder| is_dead(folder, other))
    }

    /// Ends the leases of hosts that are gone, and takes their flows, with those of hosts that nobody knows, in the open batch.
    pub(super) fn take_over(
        &self,
        connection: &Connection,
        now: Timestamp,
    ) -> rusqlite::Result<Vec<HostId>> {
        let mut gone = Vec::new();
        for (id, _, expires_at) in others(connection, self.id)? {
            if self.is_gone(id, expires_at, now) {
                end(connection, id)?;
                gone.push(id);
            }
        }
        connection
            .prepare_cached(
                "UPDATE flows SET host = ?1
                 WHERE host IS NOT NULL AND host <> ?1 AND host NOT IN (SELECT id FROM hosts)",
            )?
            .execute([self.id.0.as_bytes()])?;
        Ok(gone)
    }

    /// Other processes that work on flows.
    pub(super) fn at_work(
        &self,
        connection: &Connection,
        now: Timestamp,
    ) -> rusqlite::Result<Vec<u32>> {
        let others = others(connection, self.id)?.into_iter();
        let alive = others.filter(|(id, _, expires_at)| !self.is_gone(*id, *expires_at, now));
        Ok(alive.map(|(_, pid, _)| pid).collect())
    }

    /// Takes one flow, in the open batch, unless somebody else has it in hand: then who.
    pub(super) fn take(
        &self,
        connection: &Connection,
        flow: FlowId,
        now: Timestamp,
    ) -> rusqlite::Result<Taken> {
        let found: Option<Option<[u8; 16]>> = scalar(
            connection,
            "SELECT host FROM flows WHERE id = ?",
            [flow.0.as_bytes()],
        )?;
        let own = *self.id.0.as_bytes();
        match found {
            None => return Ok(Taken::Unknown),
            Some(Some(host)) if host == own => return Ok(Taken::Ours),
            Some(None) => return Ok(Taken::Resting),
            Some(Some(host)) => {
                let host = HostId(uuid::Uuid::from_bytes(host));
                if let Some((pid, expires_at)) = row(connection, host)? {
                    if !self.is_gone(host, expires_at, now) {
                        return Ok(Taken::By(pid));
                    }
                    // One that is stopped must find out before it writes again.
                    end(connection, host)?;
                }
            }
        }
        connection
            .prepare_cached("UPDATE flows SET host = ? WHERE id = ?")?
            .execute([own.as_slice(), flow.0.as_bytes()])?;
        Ok(Taken::Ours)
    }

    /// Removes the locks of hosts that are gone, and of processes that died before anybody knew them.
    pub(super) fn sweep(&self, gone: &[HostId]) {
        let Some(folder) = &self.folder else { return };
        for host in gone {
            // One that is stopped removes its own when it ends.
            let _ = fs::remove_file(lock_path(folder, *host));
        }
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        for file in files {
            let host = file.file_name().to_string_lossy().parse::<HostId>();
            let Some(host) = host.ok().filter(|host| *host != self.id) else {
                continue;
            };
            // A young one may be about to be locked.
            let age = file.metadata().and_then(|file| file.modified());
            let is_old = age.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > ABANDONED));
            if is_old && is_dead(folder, host) {
                let _ = fs::remove_file(file.path());
            }
        }
    }
}

impl Drop for LeaseHolder {
    fn drop(&mut self) {
        if let (Some(folder), Some(_)) = (&self.folder, &self.lock) {
            // The next host removes the row. Without the file, as with its lock free, this one counts as gone.
            let _ = fs::remove_file(lock_path(folder, self.id));
        }
    }
}

fn lock_path(folder: &Path, host: HostId) -> PathBuf {
    folder.join(host.to_string())
}

/// Whether the process is gone whose lock this was: the system frees it when a process ends, however it ends.
fn is_dead(folder: &Path, host: HostId) -> bool {
    match file::open(&lock_path(folder, host)) {
        Err(error) => error.kind() == io::ErrorKind::NotFound,
        // Several may look at once.
        Ok(file) => !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)),
    }
}

/// Whether a process lives whose lock is in this folder.
pub(super) fn is_anybody_alive(folder: &Path) -> bool {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let hosts = files.filter_map(|file| file.file_name().to_string_lossy().parse::<HostId>().ok());
    hosts.into_iter().any(|host| !is_dead(folder, host))
}

fn end(connection: &Connection, host: HostId) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM hosts WHERE id = ?")?
        .execute([host.0.as_bytes()])?;
    Ok(())
}

fn others(connection: &Connection, own: HostId) -> rusqlite::Result<Vec<(HostId, u32, Timestamp)>> {
    let mut statement =
        connection.prepare_cached("SELECT id, pid, expires_at FROM hosts WHERE id <> ?")?;
    let rows = statement.query_map([own.0.as_bytes()], |row| {
        let id = HostId(uuid::Uuid::from_bytes(row.get(0)?));
        Ok((id, row.get(1)?, Timestamp(row.get(2)?)))
    })?;
    rows.collect()
}

fn row(connection: &Connection, host: HostId) -> rusqlite::Result<Option<(u32, Timestamp)>> {
    connection
        .prepare_cached("SELECT pid, expires_at FROM hosts WHERE id = ?")?
        .query_row([host.0.as_bytes()], |row| {
            Ok((row.get(0)?, Timestamp(row.get(1)?)))
        })
        .optional()
}

/// Flows in this host's hand, oldest first.
pub(super) fn in_hand(
    connection: &Connection,
    host: HostId,
    stuck_too: bool,
) -> rusqlite::Result<Vec<FlowId>> {
    let mut statement = connection.prepare_cached(
        "SELECT id FROM flows WHERE host = ? AND (stuck IS NULL OR ?) ORDER BY id",
    )?;
    let rows = statement.query_map(params![host.0.as_bytes(), stuck_too], |row| {
        Ok(FlowId(uuid::Uuid::from_bytes(row.get(0)?)))
    })?;
    rows.collect()
}
