//! Whether anything needs a person, for the command line, a probe and the dashboard alike.

mod check;
mod finding;
mod flows;
mod host;
mod messages;

pub use check::{Check, CheckResult};
pub use finding::{Finding, FindingKind, NamedFlow, Severity};
pub use host::LateHost;
pub use messages::MessageCounts;

use std::time::Duration;

use serde::Serialize;

use cairn_model::clock::{self, Timestamp};
use cairn_model::status::StatusLimits;

use super::{ErrorCount, View};
use crate::StoreError;
use crate::operators::facts;

/// The period whose errors are counted.
const LATELY: Duration = Duration::from_secs(3600);

/// How many kinds of errors are shown.
const ERRORS: usize = 10;

/// What an operator needs to know of a database, as of one look at it.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// When it was looked at.
    #[serde(serialize_with = "clock::as_text")]
    pub at: Timestamp,
    /// What needs a person, the worst first; empty when nothing does.
    pub findings: Vec<Finding>,
    /// Since when the database is held after a restore, in RFC 3339; `None` of one that is not.
    pub held: Option<String>,
    /// Messages that have not left.
    pub messages: MessageCounts,
    /// The last results of the checks of domains, such as that of quotas; at most ten minutes old.
    pub checks: Vec<CheckResult>,
    /// Hosts whose leases have expired or were ended, and that still own flows or may be in acts.
    pub late_hosts: Vec<LateHost>,
    /// When the last backup was made and noted.
    #[serde(serialize_with = "clock::as_optional_text")]
    pub backup: Option<Timestamp>,
    /// The most frequent kinds of errors of the flows of the last hour. They need no person: flows may fail.
    pub errors: Vec<ErrorCount>,
}

impl Status {
    /// Returns whether something needs a person.
    pub fn needs_person(&self) -> bool {
        !self.findings.is_empty()
    }

    /// Returns the results of checks that ran just now, for [`Admin::note_checks`](crate::admin::Admin::note_checks).
    pub fn new_checks(&self) -> Vec<CheckResult> {
        let checks = self.checks.iter();
        checks.filter(|check| check.is_new).cloned().collect()
    }
}

impl View<'_> {
    /// Looks at the whole database, and returns what needs a person. Reads indexes and at most some thousand rows, whatever the number of
    /// flows; but the checks of domains read their tables, once their last result is older than ten minutes. A caller that may write notes
    /// the [new results](Status::new_checks).
    ///
    /// # Errors
    /// `NotAuthorized`, unless the caller is an admin; [`StoreError::Database`].
    pub fn status(&self, limits: &StatusLimits) -> Result<Status, StoreError> {
        self.require_admin("the status of the database is shown to admins only")?;
        let now = self.now();
        let held = self.held()?;
        let messages = messages::counts(self)?;
        let checks = check::results(self)?;
        let late_hosts = host::late(self)?;
        let backup = self.last_backup()?;

        let mut findings = Vec::new();
        findings.extend(held.as_deref().map(finding::held));
        findings.extend(flows::findings(self, limits)?);
        findings.extend(messages::findings(&messages, now, limits));
        let differing = checks.iter().filter(|(_, result)| result.differences > 0);
        findings.extend(differing.map(|(check, result)| finding::of_check(*check, result)));
        findings.extend(late_hosts.iter().map(finding::late_host));
        findings.extend(self.backup_finding(backup, limits)?);
        findings.sort_by_key(|finding| finding.severity);

        Ok(Status {
            at: now,
            findings,
            held,
            messages,
            checks: checks.into_iter().map(|(_, result)| result).collect(),
            late_hosts,
            backup,
            errors: self.error_counts(None, now.before(LATELY), ERRORS)?,
        })
    }

    /// Returns when the last backup was made, as `cairn db backup` noted it.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn last_backup(&self) -> Result<Option<Timestamp>, StoreError> {
        let noted = facts::fact(self.sql(), facts::BACKUP)?;
        Ok(noted.and_then(|time| time.parse().ok()))
    }

    /// Judges the age of the last backup. One that was never made is missing only where the operator set how old it may be, and once the
    /// first flow is older than that.
    fn backup_finding(
        &self,
        last: Option<Timestamp>,
        limits: &StatusLimits,
    ) -> Result<Option<Finding>, StoreError> {
        let now = self.now();
        let (since, limit) = match (last, limits.backup) {
            (Some(last), limit) => (Some(last), limit.unwrap_or(StatusLimits::BACKUP)),
            (None, Some(limit)) => (flows::first_created(self)?, limit),
            (None, None) => return Ok(None),
        };
        let old = since.filter(|since| now.since(*since) > limit);
        Ok(old.map(|since| finding::backup(last.is_some(), now.since(since))))
    }
}
