//! Hosts whose leases are late, or that may be in an act although their leases were ended.

use serde::Serialize;

use cairn_model::id::HostId;

use crate::StoreError;
use crate::hosts;
use crate::sql::{Columns, SqlError};
use crate::view::View;

/// A host whose lease has expired or was ended, and that still owns something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LateHost {
    /// Its id.
    pub id: HostId,
    /// The name of its machine; `None` where all hosts are on one.
    pub name: Option<String>,
    /// Its process.
    pub pid: i64,
    /// For how many milliseconds its lease has been over; 0 if it was ended.
    pub late: i64,
    /// How many flows it owns.
    pub flows: i64,
    /// In how many acts outside the database it may be.
    pub acts: i64,
    /// Whether its lease was ended: it is listed as it may be in an act.
    pub has_ended: bool,
}

/// Returns the hosts that are late, the oldest first.
pub(super) fn late(view: &View<'_>) -> Result<Vec<LateHost>, StoreError> {
    let name = match view.has_column("hosts", "name")? {
        true => "name",
        false => "''",
    };
    let left = view.sql().lease_left(view.now());
    let statement = format!(
        "SELECT id, {name}, pid, {left},
             (SELECT count(*) FROM flows WHERE flows.host = hosts.id),
             (SELECT count(*) FROM externals WHERE externals.host = hosts.id)
         FROM hosts WHERE {left} <= 0 ORDER BY started_at, id"
    );
    let rows = view.query(&statement, &[])?;
    let late = rows.iter().map(|row| {
        let row = Columns(row);
        let name = row.text(1)?;
        Ok(LateHost {
            id: row.host(0)?,
            name: (!name.is_empty()).then_some(name),
            pid: row.int(2)?,
            late: row.int(3)?.saturating_neg(),
            flows: row.int(4)?,
            acts: row.int(5)?,
            has_ended: false,
        })
    });
    let mut late = late.collect::<Result<Vec<_>, SqlError>>()?;
    late.retain(|host| host.flows > 0 || host.acts > 0);
    let ended = hosts::ended(view.sql())?.into_iter();
    late.extend(ended.map(|host| LateHost {
        id: host.id,
        name: host.name,
        pid: host.pid,
        late: 0,
        flows: host.flows,
        acts: host.acts,
        has_ended: true,
    }));
    Ok(late)
}
