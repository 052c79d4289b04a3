//! Hosts: processes that write, with their leases and the partitions that they own. A lease is a row in `hosts` whose id is new each time a
//! process starts, so its number of batches fences a process that was ended while it was stopped.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cairn_effects::rows::Cell;
use cairn_model::clock::Timestamp;
use cairn_model::crash::{CrashPoint, reach};
use cairn_model::id::HostId;

use super::PostgresConfig;
use super::link::Sender as _;
use super::link::{LinkError, Parameter, Step};
use super::others::{OTHERS, Other};
use super::session::Session;
use super::settings::Settings;
use crate::StoreError;
use crate::host_lock::{self, LockPlace, OwnLock, lock_path};
use crate::hosts::End;
use crate::partitions::Partitions;
use crate::sql::SqlError;
use crate::survivors;

/// The advisory lock of hosts that register: `hosts` in ASCII. It lets one at a time compare its settings with those of the others.
const REGISTERING: i64 = 0x68_6f73_7473;

/// How often a host that writes nothing looks for a new version of the catalogue.
const LOOK: Duration = Duration::from_millis(500);

/// This process as a host.
pub(super) struct OwnLease {
    pub(super) id: HostId,
    length: Duration,
    /// The number of the last batch that is on disk.
    pub(super) batch: i64,
    /// The catalogue's version that rules decide by.
    pub(super) catalogue: i64,
    /// The database does not know yet that rules decide by this version.
    is_untold: bool,
    /// When the lease was last renewed; `None` while there is no row.
    renewed: Option<Instant>,
    /// When the catalogue's version was last read.
    looked: Instant,
    pub(super) owned: Partitions,
    /// Rows in memory may be wrong: partitions were claimed, or the catalogue has changed.
    pub(super) is_stale: bool,
    /// Whether hosts that are gone may have left flows in claimed partitions.
    pub(super) has_left_over: bool,
    settings: Settings,
    /// The folder of locks; `None` where a dead process is known by its lease alone.
    folder: Option<PathBuf>,
    /// Held for as long as this process lives.
    lock: Option<OwnLock>,
}

impl OwnLease {
    pub(super) fn new(config: &PostgresConfig) -> Self {
        Self {
            id: HostId::new(),
            length: config.lease,
            batch: 0,
            catalogue: 0,
            is_untold: false,
            renewed: None,
            looked: Instant::now(),
            owned: Partitions::default(),
            is_stale: false,
            has_left_over: false,
            settings: Settings::new(&config.settings),
            folder: config.locks.clone(),
            lock: None,
        }
    }

    /// Returns the id as the database has it.
    pub(super) fn cell(&self) -> Cell {
        self.id.into()
    }

    pub(super) fn length(&self) -> Duration {
        self.length
    }

    fn milliseconds(&self) -> Cell {
        let milliseconds = i64::try_from(self.length.as_millis());
        milliseconds.unwrap_or(i64::MAX).into()
    }

    pub(super) fn is_registered(&self) -> bool {
        self.renewed.is_some()
    }

    /// Notes that this host owns a partition from now on.
    pub(super) fn gain(&mut self, part: u8) {
        self.owned.insert(part);
        self.is_stale = true;
        self.has_left_over = true;
    }

    /// Returns the parameters of the next batch's fence.
    pub(super) fn fence(&self) -> Vec<Cell> {
        vec![
            self.cell(),
            (self.batch + 1).into(),
            self.milliseconds(),
            self.catalogue.into(),
        ]
    }

    /// Records that a batch is on disk. Its fence answered the catalogue's version; returns whether that has changed.
    pub(super) fn committed(&mut self, catalogue: Option<i64>) -> bool {
        self.batch += 1;
        self.renewed = Some(Instant::now());
        self.lock.iter_mut().for_each(OwnLock::renew);
        // The fence has told the version of before.
        self.is_untold = false;
        match catalogue {
            Some(version) => self.learn(version),
            // Not known: the answer was lost with its connection.
            None => true,
        }
    }

    /// Records the catalogue's version, by which rules decide from now on; the database is told with the next batch. Returns whether it
    /// has changed.
    pub(super) fn learn(&mut self, version: i64) -> bool {
        self.looked = Instant::now();
        let has_changed = std::mem::replace(&mut self.catalogue, version) != version;
        self.is_untold |= has_changed;
        has_changed
    }

    /// Returns when the lease must be renewed, or the catalogue's version read.
    pub(super) fn renewal(&self) -> Option<Instant> {
        let renewal = self.renewed? + self.length / 3;
        match self.is_untold {
            true => Some(Instant::now()),
            false => Some(renewal.min(self.looked + LOOK)),
        }
    }

    /// Returns whether a batch must be written even if it is empty.
    pub(super) fn is_due(&self) -> bool {
        let is_old = |renewed: Instant| renewed + self.length / 3 <= Instant::now();
        self.renewed
            .is_some_and(|renewed| self.is_untold || is_old(renewed))
    }

    /// Returns how long other hosts may take to see a new version of the catalogue.
    pub(super) fn patience(&self) -> Duration {
        self.length + Duration::from_secs(2)
    }

    pub(super) fn postpone(&mut self) {
        self.renewed = self.renewed.map(|_| Instant::now());
        self.looked = Instant::now();
        // Told with the renewal.
        self.is_untold = false;
    }

    /// Adds this process's rows, after it has taken its lock.
    ///
    /// # Errors
    /// [`StoreError::OtherSettings`] when a live host has other settings.
    pub(super) fn register(&mut self, session: &Session, now: Timestamp) -> Result<(), StoreError> {
        let failed = |error: LinkError| StoreError::Database(error.to_string());
        let lock = self.take_lock()?;
        loop {
            if let Some(version) = self.insert(session, now, lock.as_ref()).map_err(failed)? {
                self.catalogue = version;
                break;
            }
            // The row may be there already, from a try whose answer was lost.
            let there = session.run("SELECT seen FROM hosts WHERE id = $1", &[self.cell()]);
            let there = there.map_err(failed)?.rows;
            if let Some([Cell::Int(version)]) = there.first().map(Vec::as_slice) {
                self.catalogue = *version;
                break;
            }
            self.check_settings(session)?;
        }
        self.renewed = Some(Instant::now());
        self.looked = Instant::now();
        Ok(())
    }

    /// Inserts the rows, and returns the catalogue's version; `None` when they are there, or a host has other settings. One whose lease has
    /// expired may renew it, so it counts until it is ended.
    fn insert(
        &self,
        session: &Session,
        now: Timestamp,
        lock: Option<&LockPlace>,
    ) -> Result<Option<i64>, LinkError> {
        let name = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        let locked = [REGISTERING.into()];
        let host = [
            self.cell(),
            name.as_str().into(),
            i64::from(std::process::id()).into(),
            env!("CARGO_PKG_VERSION").into(),
            now.into(),
            self.milliseconds(),
            self.settings.text(),
        ];
        let details = [self.cell(), self.settings.text()];
        let locks = [
            self.cell(),
            name.as_str().into(),
            i64::from(std::process::id()).into(),
            lock.map(|lock| &*lock.boot).into(),
            lock.map(|lock| &*lock.path).into(),
            lock.map(|lock| lock.device).into(),
            lock.map(|lock| lock.inode).into(),
        ];
        let steps = [
            Step::Script("BEGIN"),
            Step::run("SELECT pg_advisory_xact_lock($1)", &locked),
            Step::run(
                "INSERT INTO hosts (id, name, pid, version, started_at, expires_at, seen)
                 SELECT $1, $2, $3, $4, $5, clock_timestamp() + $6::bigint * interval '1 millisecond', (SELECT version FROM catalogue)
                 WHERE NOT EXISTS (SELECT FROM host_details WHERE settings <> $7)
                 ON CONFLICT (id) DO NOTHING RETURNING seen",
                &host,
            ),
            Step::run(
                "INSERT INTO host_details (host, settings)
                 SELECT $1, $2 WHERE EXISTS (SELECT FROM hosts WHERE id = $1) ON CONFLICT (host) DO NOTHING",
                &details,
            ),
            Step::run(
                "INSERT INTO host_locks (host, name, pid, boot, path, device, inode)
                 SELECT $1, $2, $3, $4, $5, $6, $7 WHERE EXISTS (SELECT FROM hosts WHERE id = $1) ON CONFLICT (host) DO NOTHING",
                &locks,
            ),
            Step::Commit,
        ];
        let answers = session.send(&steps)?;
        let rows = answers.into_iter().nth(2).unwrap_or_default().rows;
        Ok(match rows.first().map(Vec::as_slice) {
            Some([Cell::Int(version)]) => Some(*version),
            _ => None,
        })
    }

    /// Compares the settings of this host with those of others. Those that are gone are ended: their settings do not count.
    fn check_settings(&self, session: &Session) -> Result<(), StoreError> {
        let failed = |error: LinkError| StoreError::Database(error.to_string());
        let unlike = format!("{OTHERS} WHERE settings <> $1");
        let unlike = session
            .run(&unlike, &[self.settings.text()])
            .map_err(failed)?;
        for row in &unlike.rows {
            let other = Other::read(row)?;
            if !other
                .end_if_gone(session, self.folder.as_deref())
                .map_err(failed)?
            {
                return Err(StoreError::OtherSettings {
                    host: other.id,
                    name: other.name,
                    pid: other.pid,
                    keys: self.settings.differing(other.settings.as_deref()),
                });
            }
        }
        Ok(())
    }

    /// Takes this process's lock, and returns where it is.
    fn take_lock(&mut self) -> Result<Option<LockPlace>, StoreError> {
        let Some(folder) = &mut self.folder else {
            return Ok(None);
        };
        let unusable = |folder: &PathBuf, error: std::io::Error| {
            StoreError::Database(format!(
                "{} cannot hold locks: {error}; name another folder with `locks` in [hosts] of cairn.toml",
                folder.display()
            ))
        };
        let made = fs::create_dir_all(&folder).and_then(|()| folder.canonicalize());
        *folder = made.map_err(|error| unusable(folder, error))?;
        let taken = match self.lock.take() {
            Some(lock) => Ok(lock),
            None => {
                host_lock::sweep(folder, self.id);
                OwnLock::take(folder, self.id)
            }
        };
        let place = taken.and_then(|lock| {
            let place = LockPlace::of(&lock, folder, self.id)?;
            self.lock = Some(lock);
            Ok(place)
        });
        place.map_err(|error| unusable(folder, error))
    }

    /// Removes this process's row, so that its partitions lose their owner, and its lock. One that may be in an act outside the database keeps
    /// the file of its lock, as the proof of its end.
    pub(super) fn give_up(&mut self, session: &Session) -> Result<(), LinkError> {
        let me = [self.cell()];
        let steps = [
            Step::run("DELETE FROM hosts WHERE id = $1", &me),
            Step::run("SELECT 1 FROM externals WHERE host = $1 LIMIT 1", &me),
            Step::run(
                "DELETE FROM host_locks WHERE host = $1 AND NOT EXISTS (SELECT FROM externals WHERE externals.host = $1)",
                &me,
            ),
        ];
        let answers = session.try_send(&steps)?;
        let acts = answers.get(1).is_none_or(|acts| !acts.rows.is_empty());
        if !acts && let (Some(folder), Some(_)) = (&self.folder, self.lock.take()) {
            let _ = fs::remove_file(lock_path(folder, self.id));
        }
        self.renewed = None;
        Ok(())
    }

    /// Returns the folder of locks that shows which processes of this machine are dead.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Ends the hosts whose processes are known to be dead and, if that is asked for, those whose leases have expired. Records which hosts
    /// without a lease are dead.
    pub(super) fn end_others(&self, session: &Session, expired: bool) -> Result<(), StoreError> {
        let failed = |error: LinkError| StoreError::Database(error.to_string());
        let others = format!("{OTHERS} WHERE hosts.id <> $1");
        let others = session.run(&others, &[self.cell()]).map_err(failed)?;
        for row in &others.rows {
            let other = Other::read(row)?;
            if expired || other.gone(self.folder()) == Some(End::Dead) {
                other.end_if_gone(session, self.folder()).map_err(failed)?;
            }
        }
        for (statement, parameters) in survivors::findings(session)? {
            session.run(statement, &parameters).map_err(failed)?;
        }
        Ok(())
    }

    /// Claims partitions that no live host owns.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when this host was ended. [`StoreError::Elsewhere`] when a live host owns one of them, unless `free_only`:
    /// then those are left out. What was claimed before an error is owned.
    pub(super) fn claim(
        &mut self,
        session: &Session,
        wanted: &Partitions,
        free_only: bool,
    ) -> Result<(), StoreError> {
        let failed = |error: LinkError| StoreError::Database(error.to_string());
        loop {
            let missing = wanted.without(&self.owned);
            if missing.is_empty() {
                return Ok(());
            }
            let claimed = self.claim_free(session, &missing).map_err(failed)?;
            let claimed = claimed.ok_or(StoreError::Fenced)?;
            if !claimed.is_empty() {
                reach(CrashPoint::PartitionClaimed);
            }
            claimed.into_iter().for_each(|part| self.gain(part));
            let missing = wanted.without(&self.owned);
            if missing.is_empty() {
                return Ok(());
            }
            let owners = owners(session, &missing)?;
            let mut ended = false;
            for owner in &owners {
                ended |= owner
                    .end_if_gone(session, self.folder.as_deref())
                    .map_err(failed)?;
            }
            // Partitions without an owner were claimed or given back in between: once more.
            if ended || owners.is_empty() {
                continue;
            }
            if free_only {
                return Ok(());
            }
            let owner = &owners[0];
            return Err(StoreError::Elsewhere {
                host: owner.name.clone(),
                pid: owner.pid,
            });
        }
    }

    /// Claims those partitions that have no owner, and returns them; `None` when this host was ended.
    fn claim_free(&self, session: &Session, parts: &[u8]) -> Result<Option<Vec<u8>>, LinkError> {
        // The own row is locked first, so that a host that is being ended claims nothing. Only `host IS NULL` may be asked in the second
        // statement: it is evaluated again when another claim changed the row. What an operator's change has claimed for this host is its
        // own already.
        let lock = "SELECT id FROM hosts WHERE id = $1 FOR KEY SHARE";
        let claim = "UPDATE partitions SET host = $1
             WHERE id = ANY($2::int[]) AND (host IS NULL OR host = $1) AND EXISTS (SELECT FROM hosts WHERE id = $1) RETURNING id";
        let me = [self.cell()];
        let wanted: Vec<Cell> = parts.iter().map(|part| i64::from(*part).into()).collect();
        let steps = [
            Step::Script("BEGIN"),
            Step::run(lock, &me),
            Step::Run {
                statement: claim,
                parameters: vec![
                    Parameter::from(&me[0]),
                    Parameter::Array(wanted.iter().map(Cell::borrow).collect()),
                ],
            },
            Step::Commit,
        ];
        let mut answers = session.send(&steps)?.into_iter().skip(1);
        let is_there = answers.next().is_some_and(|own| !own.rows.is_empty());
        let rows = answers.next().unwrap_or_default().rows;
        let parts = rows.into_iter().flatten().filter_map(|cell| match cell {
            Cell::Int(part) => u8::try_from(part).ok(),
            _ => None,
        });
        Ok(is_there.then(|| parts.collect()))
    }
}

/// Returns the hosts that own some of these partitions.
fn owners(session: &Session, parts: &[u8]) -> Result<Vec<Other>, StoreError> {
    let statement = format!(
        "{OTHERS} WHERE hosts.id IN (SELECT host FROM partitions WHERE partitions.id = ANY($1::int[]))"
    );
    let wanted: Vec<Cell> = parts.iter().map(|part| i64::from(*part).into()).collect();
    let step = Step::Run {
        statement: &statement,
        parameters: vec![Parameter::Array(wanted.iter().map(Cell::borrow).collect())],
    };
    let answers = session.send(&[step]);
    let answers = answers.map_err(|error| StoreError::Database(error.to_string()))?;
    let rows = answers.iter().flat_map(|answer| &answer.rows);
    let owners = rows.map(|row| Other::read(row));
    Ok(owners.collect::<Result<_, SqlError>>()?)
}
