mod drain;
mod end;

use cairn::store::hosts::HostInfo;
use clap::Subcommand;
use serde::Serialize;

use crate::args::Format;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::session::Session;

/// See, drain and end the processes that write to the database
#[derive(Debug, Subcommand)]
pub enum Hosts {
    /// List the hosts: their leases, and what they own
    List(Format),
    Drain(drain::Drain),
    End(end::End),
}

/// A host in the list.
#[derive(Serialize)]
struct Row {
    id: String,
    name: Option<String>,
    pid: i64,
    version: Option<String>,
    started_at: String,
    /// Seconds that are left of its lease, by the database's clock; 0 once it has expired.
    lease: f64,
    expired: bool,
    /// Its lease was ended; it may be in an act outside the database all the same.
    ended: bool,
    /// How many partitions it owns; null where a host may write to all.
    partitions: Option<i64>,
    flows: i64,
    /// In how many acts outside the database it may be.
    acts: i64,
    draining: bool,
    settings: Option<String>,
    catalogue: Option<i64>,
}

impl Hosts {
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Self::List(format) => list(session, format).map(|()| Exit::Ok),
            Self::Drain(drain) => drain.run(session),
            Self::End(end) => end.run(session).map(|()| Exit::Ok),
        }
    }
}

fn list(session: &Session, format: Format) -> Result<(), Failure> {
    let rows: Vec<Row> = session
        .hosts()?
        .list()?
        .into_iter()
        .map(Row::from)
        .collect();
    if format.is_json() {
        return output::document(format, &rows);
    }
    let titles = [
        "id",
        "name",
        "pid",
        "version",
        "started at",
        "lease",
        "partitions",
        "flows",
        "acts",
        "draining",
        "settings",
        "catalogue",
    ];
    output::print(&output::table(&titles, rows.iter().map(cells)))
}

fn cells(row: &Row) -> Vec<String> {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    vec![
        row.id.clone(),
        or_none(&row.name),
        row.pid.to_string(),
        or_none(&row.version),
        row.started_at.clone(),
        match (row.ended, row.expired) {
            (true, _) => "ended".to_owned(),
            (false, true) => "expired".to_owned(),
            (false, false) => format!("{:.1}s", row.lease),
        },
        row.partitions
            .map_or_else(|| "all".to_owned(), |count| count.to_string()),
        row.flows.to_string(),
        row.acts.to_string(),
        if row.draining { "yes" } else { "no" }.to_owned(),
        or_none(&row.settings),
        or_none(&row.catalogue.map(|version| version.to_string())),
    ]
}

impl From<HostInfo> for Row {
    fn from(host: HostInfo) -> Self {
        Self {
            expired: host.has_expired(),
            ended: host.has_ended,
            lease: f64::from(i32::try_from(host.lease.max(0)).unwrap_or(i32::MAX)) / 1000.0,
            id: host.id.to_string(),
            name: host.name,
            pid: host.pid,
            version: host.version,
            started_at: host.started_at.to_string(),
            partitions: host.partitions,
            flows: host.flows,
            acts: host.acts,
            draining: host.is_draining,
            settings: host.settings,
            catalogue: host.catalogue,
        }
    }
}

/// Names a host in a message.
fn named(host: &HostInfo) -> String {
    match (&host.name, host.pid) {
        (Some(name), pid) => format!("the host {} (`{name}`, process {pid})", host.id),
        // An act names it, and nothing else is known of it.
        (None, 0) => format!("the host {}", host.id),
        (None, pid) => format!("the host {} (process {pid})", host.id),
    }
}
