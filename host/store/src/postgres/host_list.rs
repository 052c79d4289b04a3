//! Operators' work on the hosts of a database on a server.

use cairn_effects::rows::Cell;
use cairn_model::clock::{Clock as _, SystemClock, Timestamp};
use cairn_model::error::TaskError;
use cairn_model::id::{HostId, Identity};
use cairn_model::value::{Digest, Value};
use serde_json::json;

use super::link::Sender as _;
use super::link::{ADMIN, LinkError};
use super::session::Session;
use super::sql::LEASE_LEFT;
use super::{PostgresConfig, migrate, others};
use crate::StoreError;
use crate::audit_row::AuditRow;
use crate::hosts::{END, End, HostInfo, Hosts, ended};
use crate::sql::{Columns, SqlError};

/// How many digits of a fingerprint are shown.
const DIGITS: usize = 12;

/// The hosts of a database on a server.
pub struct ServerHosts(Session);

impl ServerHosts {
    /// Connects. This process does not become a host, and its settings are not compared with those of others.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the server cannot be reached or the database is not Cairn's; `InvalidInput` when its schema is older.
    pub fn connect(config: &PostgresConfig) -> Result<Self, StoreError> {
        let (found, newest) = migrate::versions(config)?;
        if found < newest {
            let message = format!(
                "the database has an older schema ({found}, this version knows {newest}): `cairn db migrate` brings it up to date"
            );
            return Err(TaskError::new("InvalidInput", message).into());
        }
        Ok(Self(Session::later(config.target(), &ADMIN)))
    }
}

fn failed(error: &LinkError) -> StoreError {
    StoreError::Database(error.to_string())
}

/// Makes the row of the audit for a change of a host.
fn row(by: &Identity, action: &str, host: HostId, after: Value) -> AuditRow {
    AuditRow {
        action: action.to_owned(),
        subject: host.to_string(),
        after,
        ..AuditRow::new(SystemClock.now(), by)
    }
}

impl Hosts for ServerHosts {
    fn list(&self) -> Result<Vec<HostInfo>, StoreError> {
        let statement = format!(
            "SELECT id, name, pid, version, started_at, draining, seen, settings, {LEASE_LEFT},
                 (SELECT count(*) FROM partitions WHERE partitions.host = hosts.id),
                 (SELECT count(*) FROM flows WHERE flows.host = hosts.id),
                 (SELECT count(*) FROM externals WHERE externals.host = hosts.id)
             FROM hosts LEFT JOIN host_details ON host_details.host = hosts.id ORDER BY started_at, id"
        );
        let answer = self
            .0
            .run(&statement, &[])
            .map_err(|error| failed(&error))?;
        let hosts = answer.rows.iter().map(|row| {
            let row = Columns(row);
            let settings = row.optional_text(7)?.map(|settings| {
                let mut digest = Digest::of(settings.as_bytes()).to_string();
                digest.truncate(DIGITS);
                digest
            });
            Ok(HostInfo {
                id: row.host(0)?,
                name: Some(row.text(1)?),
                pid: row.int(2)?,
                version: Some(row.text(3)?),
                started_at: Timestamp(row.int(4)?),
                is_draining: row.flag(5)?,
                catalogue: Some(row.int(6)?),
                settings,
                lease: row.int(8)?,
                partitions: Some(row.int(9)?),
                flows: row.int(10)?,
                acts: row.int(11)?,
                has_ended: false,
            })
        });
        let mut hosts = hosts.collect::<Result<Vec<_>, SqlError>>()?;
        hosts.extend(ended(&self.0)?);
        Ok(hosts)
    }

    fn end(&self, host: HostId, when: End, by: &Identity) -> Result<bool, StoreError> {
        let row = row(by, END, host, when.asked());
        let ended = others::end(&self.0, host, when, Some(&row)).map_err(|error| failed(&error))?;
        let noted = match when {
            End::Dead => {
                let row = (!ended).then_some(&row);
                others::note_death(&self.0, host, row).map_err(|error| failed(&error))?
            }
            End::Expired => false,
        };
        Ok(ended || noted)
    }

    fn drain(&self, host: HostId, by: &Identity) -> Result<bool, StoreError> {
        let run = |statement: &str, parameters: &[Cell]| {
            let answer = self.0.run(statement, parameters);
            answer.map_err(|error| failed(&error))
        };
        let row = row(by, "host.drain", host, json!({"draining": true}));
        let statement = others::recorded(
            "UPDATE hosts SET draining = TRUE WHERE id = $1 AND draining = FALSE RETURNING 1",
        );
        let mut parameters = vec![Cell::from(host)];
        parameters.extend(row.cells());
        if run(&statement, &parameters)?.changed > 0 {
            return Ok(true);
        }
        let found = run("SELECT 1 FROM hosts WHERE id = $1", &[Cell::from(host)])?;
        Ok(!found.rows.is_empty())
    }
}
