//! What needs a person: one sentence, and the command that helps.

use std::time::Duration;

use serde::{Serialize, Serializer};

use cairn_model::id::FlowId;

use super::check::{Check, CheckResult};
use super::host::LateHost;

/// Something that needs a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was found.
    pub kind: FindingKind,
    /// How bad it is.
    pub severity: Severity,
    /// How many there are of it.
    pub count: u64,
    /// One sentence. It holds no text of plugins or requests.
    pub sentence: String,
    /// The command that shows more, or helps.
    pub command: String,
    /// The first flows of it; empty where it is about none.
    pub flows: Vec<NamedFlow>,
}

/// How bad a finding is; the worst is the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It does not end by itself, or what the database promises does not hold.
    Error,
    /// It takes longer than expected, and may end by itself.
    Warning,
}

impl Severity {
    /// Returns the severity as JSON and the command line write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// The database is held after a restore.
    Held,
    /// Flows cannot be recovered.
    Stuck,
    /// Rollbacks are incomplete.
    Incomplete,
    /// It is not known whether objects of flows are there.
    Unknown,
    /// Flows rest since they were interrupted.
    Interrupted,
    /// Flows run longer than expected.
    Running,
    /// Flows should have been woken.
    Overdue,
    /// Flows wait for a signal longer than expected.
    Waiting,
    /// Messages could not be delivered.
    Failed,
    /// Messages are undelivered for longer than expected.
    Undelivered,
    /// A check of a domain found differences; its name.
    Check(&'static str),
    /// The lease of a host is over, and it still owns something.
    LateHost,
    /// The last backup is older than expected.
    Backup,
}

impl FindingKind {
    /// Returns the kind as JSON and the command line write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Stuck => "stuck",
            Self::Incomplete => "incomplete",
            Self::Unknown => "unknown",
            Self::Interrupted => "interrupted",
            Self::Running => "running",
            Self::Overdue => "overdue",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
            Self::Undelivered => "undelivered",
            Self::Check(name) => name,
            Self::LateHost => "late_host",
            Self::Backup => "backup",
        }
    }
}

impl Serialize for FindingKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A flow in a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedFlow {
    /// Its id.
    pub id: FlowId,
    /// Its name.
    pub name: String,
    /// The project that owns it.
    pub project_id: String,
}

/// Writes a duration by its two largest units: `3days 4h`.
pub(super) fn rounded(duration: Duration) -> String {
    let text = humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string();
    let parts: Vec<&str> = text.split(' ').take(2).collect();
    parts.join(" ")
}

/// Writes a number with a noun that forms its plural with `s`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

pub(super) fn held(since: &str) -> Finding {
    Finding {
        kind: FindingKind::Held,
        severity: Severity::Error,
        count: 1,
        sentence: format!(
            "the database is held since it was restored ({since}): no flow runs until it is released"
        ),
        command: "cairn db release".to_owned(),
        flows: Vec::new(),
    }
}

pub(super) fn of_check(check: &dyn Check, result: &CheckResult) -> Finding {
    Finding {
        kind: FindingKind::Check(check.name()),
        severity: Severity::Error,
        count: result.differences,
        sentence: check.sentence(result.differences),
        command: check.command().to_owned(),
        flows: Vec::new(),
    }
}

pub(super) fn late_host(host: &LateHost) -> Finding {
    let (flows, acts) = (host.flows.unsigned_abs(), host.acts.unsigned_abs());
    let owned = match (flows, acts) {
        (flows, 0) => format!("owns {}", counted(flows, "flow")),
        (0, acts) => format!("may be in {} outside the database", counted(acts, "act")),
        (flows, acts) => format!(
            "owns {} and may be in {} outside the database",
            counted(flows, "flow"),
            counted(acts, "act")
        ),
    };
    let (lease, command) = match host.has_ended {
        true => (
            "was ended".to_owned(),
            // The flows wait until the process is known to be dead.
            format!("cairn host end {} --dead", host.id),
        ),
        false => (
            format!(
                "expired {} ago",
                rounded(Duration::from_millis(host.late.unsigned_abs()))
            ),
            "cairn recover".to_owned(),
        ),
    };
    Finding {
        kind: FindingKind::LateHost,
        severity: Severity::Warning,
        count: 1,
        sentence: format!(
            "the lease of host {} (process {}) {lease}, and it {owned}",
            host.id, host.pid
        ),
        command,
        flows: Vec::new(),
    }
}

pub(super) fn backup(was_made: bool, age: Duration) -> Finding {
    let age = rounded(age);
    Finding {
        kind: FindingKind::Backup,
        severity: Severity::Warning,
        count: 1,
        sentence: match was_made {
            true => format!("the last backup was made {age} ago"),
            false => format!("no backup was made, and the first flow is {age} old"),
        },
        command: "cairn db backup FILE".to_owned(),
        flows: Vec::new(),
    }
}
