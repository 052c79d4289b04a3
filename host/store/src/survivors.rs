//! Hosts that may be in an act outside the database although their lease is over. Whether a lease has expired is for the database to say,
//! but only the end of the process ends its act.

use cairn_effects::rows::Cell;
use cairn_model::id::HostId;

use crate::host_lock::LockPlace;
use crate::sql::{Columns, Sql, SqlError};
use crate::survivor::Survivor;

/// What [`Known`] reads, in the order of its columns; to be followed by conditions.
const LOCKS: &str = "SELECT host, name, pid, boot, path, device, inode, dead FROM host_locks";

/// Makes flows due that sleep until it is known that the process of a host is dead, and records that it is. No transaction is needed: what is missing is
/// made up for when the host is next looked at.
pub(crate) const DEAD: [&str; 2] = [
    // The row of an object that a pivot removes names the flow that made it.
    "UPDATE flows SET wake_at = updated_at WHERE wake_at IS NOT NULL AND (id IN (SELECT flow FROM externals WHERE externals.host = $1)
         OR (forward = TRUE AND project_id IN (SELECT project_id FROM externals WHERE externals.host = $1)))",
    "INSERT INTO host_locks (host, name, pid, dead) SELECT $1, '', 0, TRUE WHERE EXISTS (SELECT 1 FROM externals WHERE externals.host = $1)
     ON CONFLICT (host) DO UPDATE SET dead = TRUE",
];

/// Removes what is known of hosts that have no lease and are in no act.
const PRUNE: &str =
    "DELETE FROM host_locks WHERE NOT EXISTS (SELECT 1 FROM hosts WHERE hosts.id = host_locks.host)
     AND NOT EXISTS (SELECT 1 FROM externals WHERE externals.host = host_locks.host)";

/// What is known of a host.
struct Known {
    host: Survivor,
    lock: Option<LockPlace>,
    is_marked: bool,
}

impl Known {
    fn read(row: &[Cell]) -> Result<Self, SqlError> {
        let row = Columns(row);
        let name = row.text(1)?;
        let pid = row.int(2)?;
        Ok(Self {
            host: Survivor {
                id: row.host(0)?,
                name: (!name.is_empty()).then_some(name),
                pid: (pid != 0).then_some(pid),
            },
            lock: place(&row, 3)?,
            is_marked: row.flag(7)?,
        })
    }

    /// Returns whether its process is known to be dead.
    fn is_dead(&self) -> bool {
        let lock = self.lock.as_ref();
        self.is_marked || lock.is_some_and(|lock| lock.is_dead(self.host.id))
    }
}

/// Reads where a lock is from four columns; `None` of a host without one.
pub(crate) fn place(row: &Columns<'_>, first: usize) -> Result<Option<LockPlace>, SqlError> {
    let (boot, path) = (row.optional_text(first)?, row.optional_text(first + 1)?);
    let (device, inode) = (row.optional_int(first + 2)?, row.optional_int(first + 3)?);
    let (Some(boot), Some(path), Some(device), Some(inode)) = (boot, path, device, inode) else {
        return Ok(None);
    };
    Ok(Some(LockPlace {
        boot,
        path,
        device,
        inode,
    }))
}

/// Returns a host unless its process is known to be dead. One of which nothing is recorded is not.
pub(crate) fn survivor(sql: &dyn Sql, host: HostId) -> Result<Option<Survivor>, SqlError> {
    let found = sql.query(&format!("{LOCKS} WHERE host = $1"), &[host.into()])?;
    let Some(row) = found.first() else {
        return Ok(Some(Survivor {
            id: host,
            name: None,
            pid: None,
        }));
    };
    let known = Known::read(row)?;
    Ok((!known.is_dead()).then_some(known.host))
}

/// Looks at the hosts without a lease, and returns the statements that record what was found out about them, with their parameters; none while
/// there are no such hosts.
pub(crate) fn findings(sql: &dyn Sql) -> Result<Vec<(&'static str, Vec<Cell>)>, SqlError> {
    let statement =
        format!("{LOCKS} WHERE NOT EXISTS (SELECT 1 FROM hosts WHERE hosts.id = host_locks.host)");
    let rows = sql.query(&statement, &[])?;
    let mut findings = Vec::new();
    for row in &rows {
        let known = Known::read(row)?;
        if !known.is_marked && known.is_dead() {
            let host = known.host;
            tracing::info!(%host, "a process is dead: acts outside the database in which it was are looked after");
            findings.extend(DEAD.map(|statement| (statement, vec![host.id.into()])));
        }
    }
    if !rows.is_empty() {
        findings.push((PRUNE, Vec::new()));
    }
    Ok(findings)
}
