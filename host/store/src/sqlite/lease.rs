//! Ownership of flows by processes. A dead process is detected by its file lock, which the system releases, and a stopped one by
//! its lease, which expires.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};

use cairn_model::clock::Timestamp;
use cairn_model::id::{FlowId, HostId};

use super::facts::{self, LOCKS};
use super::lock_folder::LockFolder;
use super::statement::scalar;
use crate::backend::Taken;
use crate::host_lock::{self, Lock, LockPlace, OwnLock, lock_path, look_at};

/// This process as a holder of leases: its lock file, and its row in `hosts`.
pub(super) struct LeaseHolder {
    pub(super) id: HostId,
    /// The folder of locks; `None` in memory, where there are no other processes.
    folder: Option<LockFolder>,
    /// Held for as long as this process lives.
    lock: Option<OwnLock>,
    /// Where the lock is, for other hosts.
    place: Option<LockPlace>,
    /// Whether the file of the lock stays when this process ends, as the proof of that.
    keeps_file: bool,
    /// Where its row is.
    row: Row,
    length: Duration,
    renewed: Instant,
}

/// A host's row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Row {
    /// Not written: this process has written no flow yet.
    None,
    /// In the open batch.
    InBatch,
    /// On disk.
    OnDisk,
}

impl LeaseHolder {
    pub(super) fn new(folder: Option<LockFolder>, length: Duration) -> Self {
        Self {
            id: HostId::new(),
            folder,
            lock: None,
            place: None,
            keeps_file: false,
            row: Row::None,
            length,
            renewed: Instant::now(),
        }
    }

    /// Returns when the lease must be renewed; `None` without a lease.
    pub(super) fn renewal(&self) -> Option<Instant> {
        (self.row == Row::OnDisk).then(|| self.renewed + self.length / 3)
    }

    /// Returns whether the lease must be renewed now.
    pub(super) fn is_due(&self) -> bool {
        self.renewal().is_some_and(|at| at <= Instant::now())
    }

    /// Postpones the renewal of the lease after a failed attempt.
    pub(super) fn postpone(&mut self) {
        self.renewed = Instant::now();
    }

    pub(super) fn is_registered(&self) -> bool {
        self.row != Row::None
    }

    /// Takes this process's lock, before its row is written.
    pub(super) fn lock(&mut self) -> io::Result<()> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        if self.lock.is_none() {
            let lock = OwnLock::take(&folder.path, self.id)?;
            self.place = LockPlace::of(&lock, &folder.path.canonicalize()?, self.id)?;
            self.lock = Some(lock);
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
        let place = self.place.as_ref();
        connection
            .prepare_cached(
                "INSERT INTO host_locks (host, name, pid, boot, path, device, inode) VALUES (?, '', ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                self.id.0.as_bytes(),
                std::process::id(),
                place.map(|place| &place.boot),
                place.map(|place| &place.path),
                place.map(|place| place.device),
                place.map(|place| place.inode)
            ])?;
        if self.folder.as_ref().is_some_and(|folder| !folder.is_beside) {
            facts::set_fact(connection, LOCKS, "elsewhere")?;
        }
        self.row = Row::InBatch;
        self.renewed = Instant::now();
        Ok(())
    }

    /// Returns whether this process may still write: it still has its lease. Renews the lease when it is due.
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
            self.lock.iter_mut().for_each(OwnLock::renew);
            return Ok(renewed > 0);
        }
        let row: Option<i64> = scalar(
            connection,
            "SELECT 1 FROM hosts WHERE id = ?",
            [self.id.0.as_bytes()],
        )?;
        Ok(row.is_some())
    }

    /// Records whether the open batch, with this process's row, became durable.
    pub(super) fn settle(&mut self, on_disk: bool) {
        if self.row == Row::InBatch {
            self.row = if on_disk { Row::OnDisk } else { Row::None };
        }
    }

    /// Returns whether another host counts as dead: its lock is free, or its lease has expired. A missing lock proves its death only
    /// where every host of this database keeps its lock beside it.
    fn is_gone(
        &self,
        connection: &Connection,
        other: HostId,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> rusqlite::Result<bool> {
        if expires_at < now {
            return Ok(true);
        }
        let Some(folder) = &self.folder else {
            return Ok(false);
        };
        Ok(match look_at(&folder.path, other) {
            Lock::Free => true,
            Lock::Held => false,
            Lock::Missing => folder.is_beside && facts::fact(connection, LOCKS)?.is_none(),
        })
    }

    /// Ends the leases of dead hosts and takes over their flows and those of unknown hosts, in the open batch. Returns the hosts whose
    /// locks are needed no more.
    pub(super) fn take_over(
        &self,
        connection: &Connection,
        now: Timestamp,
    ) -> rusqlite::Result<Vec<HostId>> {
        let mut gone = Vec::new();
        for (id, _, expires_at) in others(connection, self.id)? {
            if self.is_gone(connection, id, expires_at, now)? {
                end(connection, id)?;
                // The lock of one that may be in an act is needed to know its end.
                if !acts(connection, id)? {
                    gone.push(id);
                }
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

    /// Returns the process ids of other live hosts.
    pub(super) fn at_work(
        &self,
        connection: &Connection,
        now: Timestamp,
    ) -> rusqlite::Result<Vec<u32>> {
        let mut alive = Vec::new();
        for (id, pid, expires_at) in others(connection, self.id)? {
            if !self.is_gone(connection, id, expires_at, now)? {
                alive.push(pid);
            }
        }
        Ok(alive)
    }

    /// Takes ownership of one flow, in the open batch, unless another live process owns it.
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
                    if !self.is_gone(connection, host, expires_at, now)? {
                        return Ok(Taken::By(pid));
                    }
                    // A stopped process finds its row missing before it writes again (fencing).
                    end(connection, host)?;
                }
            }
        }
        connection
            .prepare_cached("UPDATE flows SET host = ? WHERE id = ?")?
            .execute([own.as_slice(), flow.0.as_bytes()])?;
        Ok(Taken::Ours)
    }

    /// Decides whether the file of this process's lock stays when it ends: it may be in an act outside the database.
    pub(super) fn close(&mut self, connection: &Connection) {
        self.keeps_file = acts(connection, self.id).unwrap_or(true);
    }

    /// Removes the locks of hosts that are gone, and of processes that died before their rows were written.
    pub(super) fn sweep(&self, gone: &[HostId]) {
        let Some(LockFolder { path: folder, .. }) = &self.folder else {
            return;
        };
        for host in gone {
            // A stopped process also removes its own lock when it ends.
            let _ = fs::remove_file(lock_path(folder, *host));
        }
        host_lock::sweep(folder, self.id);
    }
}

impl Drop for LeaseHolder {
    fn drop(&mut self) {
        if let (Some(folder), Some(_)) = (&self.folder, &self.lock) {
            // The next host removes the row. Beside the database a host without its file counts as dead; elsewhere the free lock stays
            // as the proof, and the next host removes it.
            if folder.is_beside && !self.keeps_file {
                let _ = fs::remove_file(lock_path(&folder.path, self.id));
            }
        }
    }
}

/// Returns whether any process whose lock is in this folder is alive.
pub(super) fn is_anybody_alive(folder: &Path) -> bool {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let hosts = files.filter_map(|file| file.file_name().to_string_lossy().parse::<HostId>().ok());
    hosts
        .into_iter()
        .any(|host| look_at(folder, host) == Lock::Held)
}

fn end(connection: &Connection, host: HostId) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM hosts WHERE id = ?")?
        .execute([host.0.as_bytes()])?;
    Ok(())
}

/// Returns whether a host may be in an act outside the database.
fn acts(connection: &Connection, host: HostId) -> rusqlite::Result<bool> {
    let found: Option<i64> = scalar(
        connection,
        "SELECT 1 FROM externals WHERE host = ? LIMIT 1",
        [host.0.as_bytes()],
    )?;
    Ok(found.is_some())
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

/// Returns the flows that this host owns, oldest first.
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
