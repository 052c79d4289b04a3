//! What operators see of hosts, the processes that write to a database, and how they end and drain them.

use std::path::PathBuf;
use std::sync::Arc;

use cairn_effects::rows::Cell;
use cairn_model::clock::{Clock, Timestamp};
use cairn_model::error::TaskError;
use cairn_model::id::{HostId, IdPrefix, Identity};
use cairn_model::value::Value;
use serde_json::json;

use crate::audit::Change;
use crate::sql::{Columns, Sql, SqlError};
use crate::survivors;
use crate::view::Reader;
use crate::{Sqlite, SqliteConfig, StoreError};

/// How many further matches an error names.
const NAMED: usize = 3;

/// A host, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostInfo {
    /// Its id, which is that of its lease.
    pub id: HostId,
    /// The name of its machine; `None` where all hosts are on one.
    pub name: Option<String>,
    /// Its process.
    pub pid: i64,
    /// The version of its program; `None` where it is not recorded.
    pub version: Option<String>,
    /// When it started.
    pub started_at: Timestamp,
    /// How many milliseconds of its lease are left, by the database's clock where it has one; 0 or less of an expired lease.
    pub lease: i64,
    /// How many partitions of projects it owns; `None` where each host may write to all.
    pub partitions: Option<i64>,
    /// How many flows it owns.
    pub flows: i64,
    /// In how many acts outside the database it may be.
    pub acts: i64,
    /// Whether its lease was ended; it is listed because it may be in an act all the same.
    pub has_ended: bool,
    /// Whether it was told to give back what it owns.
    pub is_draining: bool,
    /// The fingerprint of its settings; `None` where it is not recorded.
    pub settings: Option<String>,
    /// The version of the catalogue that its rules decide by; `None` where it is not recorded.
    pub catalogue: Option<i64>,
}

impl HostInfo {
    /// Returns whether its lease has expired.
    pub fn has_expired(&self) -> bool {
        self.lease <= 0
    }
}

/// When a host may be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Only if its lease has expired.
    Expired,
    /// At once: the operator knows that its process is dead.
    Dead,
}

/// The name of [`Hosts::end`] in the audit.
pub(crate) const END: &str = "host.end";

impl End {
    /// Returns what the audit records.
    pub(crate) fn asked(self) -> Value {
        json!({"ended": true, "dead": self == Self::Dead})
    }
}

/// Operators' work on hosts. It does not make this process a host.
pub trait Hosts {
    /// Lists the hosts, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn list(&self) -> Result<Vec<HostInfo>, StoreError>;

    /// Ends the lease of a host: if its process is alive, it writes nothing more. Its partitions lose their owner, and other hosts take its
    /// flows over. Flows with an act outside the database in which it may be are gone on with only when it is [dead](End::Dead), which may be
    /// said of one whose lease was ended before, too. Returns false if there is no such host, or its lease must have expired and has not.
    ///
    /// The audit records it as asked for by `by`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    fn end(&self, host: HostId, when: End, by: &Identity) -> Result<bool, StoreError>;

    /// Tells a host to give back what it owns, and to claim nothing more. Returns false if there is no such host. The audit records it as asked
    /// for by `by`, unless the host drains already.
    ///
    /// # Errors
    /// `InvalidInput` where hosts own no partitions; [`StoreError::Database`].
    fn drain(&self, host: HostId, by: &Identity) -> Result<bool, StoreError>;
}

/// Returns the host whose id begins with `prefix`.
///
/// # Errors
/// `NotFound`; `NotUnique`, with the ids, when there are several.
pub fn resolve<'h>(hosts: &'h [HostInfo], prefix: &IdPrefix) -> Result<&'h HostInfo, StoreError> {
    let (lowest, highest) = prefix.range();
    let mut found = hosts
        .iter()
        .filter(|host| (lowest..=highest).contains(&host.id.0));
    let Some(first) = found.next() else {
        let message = format!("no host's id begins with `{prefix}`");
        return Err(TaskError::new("NotFound", message).into());
    };
    let others: Vec<String> = found.take(NAMED).map(|host| host.id.to_string()).collect();
    if others.is_empty() {
        return Ok(first);
    }
    let message = format!(
        "several hosts have an id that begins with `{prefix}`: {}, {}; write more of it",
        first.id,
        others.join(", ")
    );
    Err(TaskError::new("NotUnique", message).into())
}

/// The hosts of a database in a file.
pub struct FileHosts {
    /// The file, which must exist.
    pub path: PathBuf,
    /// The settings to open it with.
    pub config: SqliteConfig,
    /// The clock, by which leases expire.
    pub clock: Arc<dyn Clock>,
}

impl Hosts for FileHosts {
    fn list(&self) -> Result<Vec<HostInfo>, StoreError> {
        let reader = Reader::open(&self.path, self.config.clone(), Arc::clone(&self.clock))?;
        reader.require_newest()?;
        let now = self.clock.now();
        let rows = reader.view(&Identity::default()).query(
            "SELECT id, pid, started_at, expires_at, (SELECT count(*) FROM flows WHERE flows.host = hosts.id),
                 (SELECT count(*) FROM externals WHERE externals.host = hosts.id) FROM hosts
             ORDER BY started_at, id",
            &[],
        )?;
        let hosts = rows.iter().map(|row| {
            let row = Columns(row);
            Ok(HostInfo {
                id: row.host(0)?,
                name: None,
                pid: row.int(1)?,
                version: None,
                started_at: Timestamp(row.int(2)?),
                lease: row.int(3)?.saturating_sub(now.0) / 1000,
                partitions: None,
                flows: row.int(4)?,
                acts: row.int(5)?,
                has_ended: false,
                is_draining: false,
                settings: None,
                catalogue: None,
            })
        });
        let mut hosts = hosts.collect::<Result<Vec<_>, SqlError>>()?;
        hosts.extend(ended(reader.view(&Identity::default()).sql())?);
        Ok(hosts)
    }

    fn end(&self, host: HostId, when: End, by: &Identity) -> Result<bool, StoreError> {
        let store = Sqlite::open(&self.path, self.config.clone(), Arc::clone(&self.clock))?;
        let ended = store.admin(by, |admin| {
            let statement = "DELETE FROM hosts WHERE id = $1 AND ($2 OR expires_at < $3)";
            let is_dead = Cell::Int((when == End::Dead).into());
            let ended = admin.execute(statement, &[host.into(), is_dead, admin.now().into()])?;
            let mut noted = 0;
            if when == End::Dead {
                for statement in survivors::DEAD {
                    noted += admin.execute(statement, &[host.into()])?;
                }
            }
            if ended + noted > 0 {
                admin.record(Change {
                    action: END,
                    subject: &host.to_string(),
                    after: when.asked(),
                    ..Change::default()
                })?;
            }
            Ok(ended + noted)
        })?;
        Ok(ended > 0)
    }

    fn drain(&self, _host: HostId, _by: &Identity) -> Result<bool, StoreError> {
        let message = "hosts of a database in a file own no partitions: end a process with a signal (SIGTERM), and it finishes or \
                       interrupts its flows";
        Err(TaskError::new("InvalidInput", message).into())
    }
}

/// Returns the hosts without a lease that may be in acts, for the list of hosts.
pub(crate) fn ended(sql: &dyn Sql) -> Result<Vec<HostInfo>, SqlError> {
    let statement = "SELECT externals.host, coalesce(name, ''), coalesce(pid, 0), count(*) FROM externals
         LEFT JOIN host_locks ON host_locks.host = externals.host
         WHERE externals.host IS NOT NULL AND NOT EXISTS (SELECT 1 FROM hosts WHERE hosts.id = externals.host)
             AND (dead IS NULL OR dead = FALSE)
         GROUP BY externals.host, name, pid ORDER BY externals.host";
    let rows = sql.query(statement, &[])?;
    let hosts = rows.iter().map(|row| {
        let row = Columns(row);
        let name = row.text(1)?;
        let id = row.host(0)?;
        Ok(HostInfo {
            id,
            name: (!name.is_empty()).then_some(name),
            pid: row.int(2)?,
            version: None,
            started_at: started_at(id),
            lease: 0,
            has_ended: true,
            partitions: Some(0),
            flows: 0,
            acts: row.int(3)?,
            is_draining: false,
            settings: None,
            catalogue: None,
        })
    });
    hosts.collect()
}

/// Returns when a host was started, as its id says.
fn started_at(host: HostId) -> Timestamp {
    let (seconds, nanoseconds) = host.0.get_timestamp().map_or((0, 0), |time| time.to_unix());
    let seconds = i64::try_from(seconds).unwrap_or(0);
    Timestamp(seconds * 1_000_000 + i64::from(nanoseconds / 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(id: &str) -> HostInfo {
        HostInfo {
            id: id.parse().unwrap(),
            name: None,
            pid: 1,
            version: None,
            started_at: Timestamp(0),
            lease: 1,
            partitions: None,
            flows: 0,
            acts: 0,
            has_ended: false,
            is_draining: false,
            settings: None,
            catalogue: None,
        }
    }

    #[test]
    fn a_host_is_named_by_a_prefix_that_no_other_host_has() {
        let hosts = [
            host("01900000-0000-7000-8000-000000000001"),
            host("01900000-0000-7000-8000-000000000002"),
            host("01980000-0000-7000-8000-000000000003"),
        ];
        let kind = |prefix: &str| match resolve(&hosts, &prefix.parse().unwrap()) {
            Ok(found) => Ok(found.id),
            Err(StoreError::Refused(error)) => Err(error.kind),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(kind("01980000"), Ok(hosts[2].id));
        assert_eq!(kind(&hosts[1].id.to_string()), Ok(hosts[1].id));
        assert_eq!(kind("01900000-0000").unwrap_err(), "NotUnique");
        assert_eq!(kind("02000000").unwrap_err(), "NotFound");
    }
}
