//! Other hosts: which of them are gone, and how their leases are ended.

use std::path::Path;

use cairn_effects::rows::Cell;
use cairn_model::id::HostId;

use super::link::{LOCK_TIMEOUT, LinkError, Sender, Step};
use crate::audit_row::AuditRow;
use crate::host_lock::LockPlace;
use crate::hosts::End;
use crate::sql::{Columns, SqlError};
use crate::survivors;

/// How long to wait for a row of `hosts` that a session of its process has locked, before that session is ended.
const LOCKED: &str = "SET LOCAL lock_timeout = '200ms'";

/// How often a session that holds the row is ended. The server takes a moment to end one.
const TRIES: usize = 10;

/// What [`Other`] reads, in the order of its columns; to be followed by conditions.
pub(super) const OTHERS: &str = "SELECT hosts.id, hosts.name, hosts.pid, expires_at < clock_timestamp(), settings, boot, path, device, inode
     FROM hosts LEFT JOIN host_details ON host_details.host = hosts.id LEFT JOIN host_locks ON host_locks.host = hosts.id";

/// Another host.
#[derive(Debug)]
pub(super) struct Other {
    pub(super) id: HostId,
    pub(super) name: String,
    pub(super) pid: u32,
    has_expired: bool,
    lock: Option<LockPlace>,
    /// The digests of its settings, as JSON.
    pub(super) settings: Option<String>,
}

impl Other {
    /// Reads a row of [`OTHERS`].
    pub(super) fn read(row: &[Cell]) -> Result<Self, SqlError> {
        let row = Columns(row);
        Ok(Self {
            id: row.host(0)?,
            name: row.text(1)?,
            pid: u32::try_from(row.int(2)?).unwrap_or(0),
            has_expired: row.flag(3)?,
            lock: survivors::place(&row, 5)?,
            settings: row.optional_text(4)?,
        })
    }

    /// Returns why this host may be ended: its lease has expired, or the lock of its process, in `folder`, proves that it is dead.
    pub(super) fn gone(&self, folder: Option<&Path>) -> Option<End> {
        let is_dead = || {
            let lock = self.lock.as_ref().zip(folder);
            lock.is_some_and(|(lock, folder)| lock.proves_death(folder, self.id))
        };
        match self.has_expired {
            true => Some(End::Expired),
            false => is_dead().then_some(End::Dead),
        }
    }

    /// Ends it if it is gone. Returns whether it was ended; another host may have done it before.
    pub(super) fn end_if_gone(
        &self,
        session: &dyn Sender,
        folder: Option<&Path>,
    ) -> Result<bool, LinkError> {
        let Some(when) = self.gone(folder) else {
            return Ok(false);
        };
        if when == End::Dead {
            tracing::info!(host = %self.id, pid = self.pid, "a process of this machine is dead: its lease is ended");
        }
        end(session, self.id, when, None)?;
        Ok(true)
    }
}

/// Returns a statement about `$1`, which has `RETURNING`, that also inserts a row of the audit if it changes something. The cells of the row
/// follow `$1`. It changes one row then, else none.
pub(super) fn recorded(statement: &str) -> String {
    format!(
        "WITH done AS ({statement})
         INSERT INTO audit (id, at, user_id, source, action, subject, project_id, reason, before, after)
         SELECT $2::text, $3::bigint, $4::text, $5::text, $6::text, $7::text, $8::text, $9::text, $10::text, $11::text
         WHERE EXISTS (SELECT 1 FROM done)"
    )
}

/// Returns a statement about a host, and its parameters; with a row of the audit it is [`recorded`].
fn about(statement: &str, host: HostId, row: Option<&AuditRow>) -> (String, Vec<Cell>) {
    let mut parameters = vec![Cell::from(host)];
    let Some(row) = row else {
        return (statement.to_owned(), parameters);
    };
    parameters.extend(row.cells());
    (recorded(&format!("{statement} RETURNING 1")), parameters)
}

/// Records that the process of a host is dead, and in the audit that an operator says so. Returns whether it may have been in an act outside
/// the database.
pub(super) fn note_death(
    session: &dyn Sender,
    host: HostId,
    row: Option<&AuditRow>,
) -> Result<bool, LinkError> {
    let [wake, mark] = survivors::DEAD;
    let (wake, parameters) = about(wake, host, row);
    let mark_parameters = [Cell::from(host)];
    let steps = [
        Step::run(&wake, &parameters),
        Step::run(mark, &mark_parameters),
    ];
    let answers = session.send(&steps)?;
    Ok(answers.first().is_some_and(|answer| answer.changed > 0))
}

/// Ends a host's lease; its partitions lose their owner in the same transaction. A session that holds the row for a process that is stopped
/// is ended first. Returns whether the host was there, and was ended; then the row of the audit is there, too.
pub(super) fn end(
    session: &dyn Sender,
    host: HostId,
    when: End,
    row: Option<&AuditRow>,
) -> Result<bool, LinkError> {
    // Expiry is compared by the database's clock alone, in the statement that acts on it.
    let (delete, stop) = match when {
        End::Expired => (
            "DELETE FROM hosts WHERE id = $1 AND expires_at < clock_timestamp()",
            "SELECT pg_terminate_backend(backend) FROM hosts WHERE id = $1 AND expires_at < clock_timestamp()",
        ),
        End::Dead => (
            "DELETE FROM hosts WHERE id = $1",
            "SELECT pg_terminate_backend(backend) FROM hosts WHERE id = $1",
        ),
    };
    let (delete, parameters) = about(delete, host, row);
    let of_host = [Cell::from(host)];
    let steps = [
        Step::Script("BEGIN"),
        Step::Script(LOCKED),
        Step::run(&delete, &parameters),
        Step::Commit,
    ];
    let mut tries = 0;
    loop {
        tries += 1;
        match session.send(&steps) {
            Ok(answers) => return Ok(answers.get(2).is_some_and(|answer| answer.changed > 0)),
            Err(error) if error.code() == Some(LOCK_TIMEOUT) && tries < TRIES => {
                session.run(stop, &of_host)?;
            }
            Err(error) => return Err(error),
        }
    }
}
