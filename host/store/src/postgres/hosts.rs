//! Hosts: processes that write, with their leases and the partitions that they own. A lease is a row in `hosts` whose id is new each time a
//! process starts, so its number of batches fences a process that was ended while it was stopped.

use std::time::{Duration, Instant};

use cairn_effects::rows::Cell;
use cairn_model::clock::Timestamp;
use cairn_model::crash::{CrashPoint, reach};
use cairn_model::id::HostId;

use super::link::{LinkError, Parameter, Step};
use super::session::Session;
use crate::StoreError;
use crate::partitions::Partitions;

/// How long to wait for a row of `hosts` that a session of its process has locked, before that session is ended.
const LOCKED: &str = "SET LOCAL lock_timeout = '200ms'";

/// The server's code for a lock that was not got in time.
const LOCK_TIMEOUT: &str = "55P03";

/// This process as a host.
pub(super) struct OwnLease {
    pub(super) id: HostId,
    length: Duration,
    /// The number of the last batch that is on disk.
    pub(super) batch: i64,
    /// The catalogue's version that rules decide by.
    pub(super) catalogue: i64,
    /// When the lease was last renewed; `None` while there is no row.
    renewed: Option<Instant>,
    pub(super) owned: Partitions,
}

/// Another host that owns what this one wants.
#[derive(Debug)]
struct Owner {
    id: Cell,
    name: String,
    pid: i64,
    has_expired: bool,
}

impl OwnLease {
    pub(super) fn new(length: Duration) -> Self {
        Self {
            id: HostId::new(),
            length,
            batch: 0,
            catalogue: 0,
            renewed: None,
            owned: Partitions::default(),
        }
    }

    /// Returns the id as the database has it.
    pub(super) fn cell(&self) -> Cell {
        Cell::Blob(self.id.0.as_bytes().as_slice().into())
    }

    fn milliseconds(&self) -> Cell {
        let milliseconds = i64::try_from(self.length.as_millis());
        milliseconds.unwrap_or(i64::MAX).into()
    }

    pub(super) fn is_registered(&self) -> bool {
        self.renewed.is_some()
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
        match catalogue {
            Some(version) => std::mem::replace(&mut self.catalogue, version) != version,
            // Not known: the answer was lost with its connection.
            None => true,
        }
    }

    /// Returns when the lease must be renewed.
    pub(super) fn renewal(&self) -> Option<Instant> {
        Some(self.renewed? + self.length / 3)
    }

    pub(super) fn is_due(&self) -> bool {
        self.renewal().is_some_and(|at| at <= Instant::now())
    }

    pub(super) fn postpone(&mut self) {
        self.renewed = self.renewed.map(|_| Instant::now());
    }

    /// Adds this process's row.
    pub(super) fn register(&mut self, session: &Session, now: Timestamp) -> Result<(), LinkError> {
        let statement = "INSERT INTO hosts (id, name, pid, version, started_at, expires_at, seen)
             VALUES ($1, $2, $3, $4, $5, clock_timestamp() + $6::bigint * interval '1 millisecond', (SELECT version FROM catalogue))
             ON CONFLICT (id) DO NOTHING RETURNING seen";
        let name = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        let parameters = [
            self.cell(),
            name.as_str().into(),
            i64::from(std::process::id()).into(),
            env!("CARGO_PKG_VERSION").into(),
            now.into(),
            self.milliseconds(),
        ];
        let rows = session.run(statement, &parameters)?.rows;
        // The row may be there already, from a try whose answer was lost.
        if let Some([Cell::Int(version)]) = rows.first().map(Vec::as_slice) {
            self.catalogue = *version;
        }
        self.renewed = Some(Instant::now());
        Ok(())
    }

    /// Claims partitions that no live host owns. Returns whether there are new ones.
    ///
    /// # Errors
    /// [`StoreError::Elsewhere`] when a live host owns one of them, unless `free_only`: then those are left out.
    pub(super) fn claim(
        &mut self,
        session: &Session,
        wanted: &Partitions,
        free_only: bool,
    ) -> Result<bool, StoreError> {
        let failed = |error: LinkError| StoreError::Database(error.to_string());
        let mut is_new = false;
        loop {
            let missing = wanted.without(&self.owned);
            if missing.is_empty() {
                return Ok(is_new);
            }
            let claimed = self.claim_free(session, &missing).map_err(failed)?;
            if !claimed.is_empty() {
                is_new = true;
                reach(CrashPoint::PartitionClaimed);
            }
            claimed.iter().for_each(|part| self.owned.insert(*part));
            let missing = wanted.without(&self.owned);
            if missing.is_empty() {
                return Ok(is_new);
            }
            let owners = owners(session, &missing).map_err(failed)?;
            let mut ended = false;
            for owner in &owners {
                if owner.has_expired {
                    end(session, &owner.id).map_err(failed)?;
                    ended = true;
                }
            }
            // Partitions without an owner were claimed or given back in between: once more.
            if ended || owners.is_empty() {
                continue;
            }
            if free_only {
                return Ok(is_new);
            }
            let owner = &owners[0];
            return Err(StoreError::Elsewhere {
                host: owner.name.clone(),
                pid: u32::try_from(owner.pid).unwrap_or(0),
            });
        }
    }

    fn claim_free(&self, session: &Session, parts: &[u8]) -> Result<Vec<u8>, LinkError> {
        // The own row is locked first, so that a host that is being ended claims nothing. Only `host IS NULL` may be asked in the second
        // statement: it is evaluated again when another claim changed the row.
        let lock = "SELECT id FROM hosts WHERE id = $1 FOR KEY SHARE";
        let claim = "UPDATE partitions SET host = $1, epoch = epoch + 1
             WHERE id = ANY($2::int[]) AND host IS NULL AND EXISTS (SELECT FROM hosts WHERE id = $1) RETURNING id";
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
        let answers = session.send(&steps)?;
        let rows = answers.into_iter().nth(2).unwrap_or_default().rows;
        let parts = rows.into_iter().flatten().filter_map(|cell| match cell {
            Cell::Int(part) => u8::try_from(part).ok(),
            _ => None,
        });
        Ok(parts.collect())
    }
}

/// Returns the hosts that own some of these partitions.
fn owners(session: &Session, parts: &[u8]) -> Result<Vec<Owner>, LinkError> {
    let statement =
        "SELECT DISTINCT hosts.id, name, pid, expires_at < clock_timestamp() FROM partitions
         JOIN hosts ON hosts.id = partitions.host WHERE partitions.id = ANY($1::int[])";
    let wanted: Vec<Cell> = parts.iter().map(|part| i64::from(*part).into()).collect();
    let step = Step::Run {
        statement,
        parameters: vec![Parameter::Array(wanted.iter().map(Cell::borrow).collect())],
    };
    let rows = session.send(&[step])?.pop().unwrap_or_default().rows;
    let owners = rows.into_iter().filter_map(|row| {
        let [id, Cell::Text(name), Cell::Int(pid), Cell::Int(expired)] = row.as_slice() else {
            return None;
        };
        Some(Owner {
            id: id.clone(),
            name: name.to_string(),
            pid: *pid,
            has_expired: *expired != 0,
        })
    });
    Ok(owners.collect())
}

/// Ends the lease of a host if it has expired by the database's clock. Its partitions lose their owner in the same transaction. A session
/// that holds the row for a process that is stopped is ended first.
pub(super) fn end(session: &Session, host: &Cell) -> Result<bool, LinkError> {
    let delete = "DELETE FROM hosts WHERE id = $1 AND expires_at < clock_timestamp()";
    let parameters = [host.clone()];
    let steps = [
        Step::Script("BEGIN"),
        Step::Script(LOCKED),
        Step::run(delete, &parameters),
        Step::Commit,
    ];
    match session.send(&steps) {
        Ok(answers) => Ok(answers.get(2).is_some_and(|answer| answer.changed > 0)),
        Err(error) if error.code() == Some(LOCK_TIMEOUT) => {
            let stop = "SELECT pg_terminate_backend(backend) FROM hosts WHERE id = $1 AND expires_at < clock_timestamp()";
            session.run(stop, &parameters)?;
            let deleted = session.run(delete, &parameters)?;
            Ok(deleted.changed > 0)
        }
        Err(error) => Err(error),
    }
}

/// Returns the hosts whose lease has expired, except this one.
pub(super) fn expired(session: &Session, own: &Cell) -> Result<Vec<Cell>, LinkError> {
    let statement = "SELECT id FROM hosts WHERE id <> $1 AND expires_at < clock_timestamp()";
    let rows = session.run(statement, std::slice::from_ref(own))?.rows;
    Ok(rows.into_iter().flatten().collect())
}
