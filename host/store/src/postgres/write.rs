//! Writes batches. A batch is sent whole in one round trip. When its connection breaks, the row of this host tells whether it is on disk.

use std::time::Instant;

use cairn_effects::rows::Cell;
use cairn_model::crash::{CrashPoint, reach};

use super::again::Pause;
use super::bulk::Columns;
use super::database::PostgresDatabase;
use super::hosts::OwnLease;
use super::link::Sender as _;
use super::link::{LinkError, Parameter, Step};
use super::session::{FENCE, Session, State};
use crate::StoreError;
use crate::audit_row::AuditRow;
use crate::backend::{Batch, Fault};

/// The version of the tables whose rows belong to no project.
const CATALOGUE: &str = "SELECT version FROM catalogue";

/// Removes the requests of flows that are created, each of which must be there.
const CREATED: &str =
    "WITH done AS (DELETE FROM inbox WHERE id = ANY($1::bytea[]) AND answer IS NULL RETURNING 1)
    SELECT expect((SELECT count(*) FROM done), $2::bigint, 'request')";

/// Codes of a server that has no room at the moment: the batch is sent again.
const FULL: [&str; 3] = ["53100", "53200", "53300"];

impl PostgresDatabase {
    /// Reads the catalogue's version.
    pub(super) fn catalogue(&self) -> Result<Option<i64>, LinkError> {
        let rows = self.session.run(CATALOGUE, &[])?.rows;
        Ok(match rows.first().map(Vec::as_slice) {
            Some([Cell::Int(version)]) => Some(*version),
            _ => None,
        })
    }

    /// Sends a batch, and finds out what became of it when its connection breaks.
    pub(super) fn send(&mut self, batch: &Batch<'_>) -> Result<Option<i64>, Fault> {
        let fence = self.lease.fence();
        let host = self.lease.cell();
        let parts = Columns::of(batch, &host);
        let created = self.created(batch);
        let many = Cell::from(i64::try_from(created.len()).unwrap_or(i64::MAX));
        let audit: Vec<_> = batch.audit.iter().map(AuditRow::cells).collect();
        let has_begun = self.session.state() == State::Transaction;
        let mut steps = Vec::new();
        if !has_begun {
            steps.push(Step::Script("BEGIN"));
            steps.push(Step::run(FENCE, &fence));
        }
        steps.extend(self.texts.steps(&batch.rows));
        steps.extend(parts.steps());
        let rows = audit.iter();
        steps.extend(rows.map(|cells| Step::run(AuditRow::INSERT, cells)));
        if !created.is_empty() {
            steps.push(Step::Run {
                statement: CREATED,
                parameters: vec![
                    Parameter::Array(created.iter().map(Cell::borrow).collect()),
                    Parameter::from(&many),
                ],
            });
        }
        let owners = self.owners.iter();
        steps.extend(owners.map(|(statement, parameters)| Step::run(statement, parameters)));
        if has_begun {
            // After what the operator has changed.
            steps.push(Step::run(CATALOGUE, &[]));
        } else {
            steps.push(Step::Commit);
        }
        let version_at = if has_begun { steps.len() - 1 } else { 1 };
        let until = Instant::now() + self.patience;
        let mut pause = Pause::default();
        loop {
            let sent = match has_begun {
                true => self.session.commit(&steps),
                false => self.session.send(&steps),
            };
            let error = match sent {
                Ok(answers) => {
                    let answer = answers.get(version_at);
                    let version = answer.and_then(|answer| answer.rows.first()?.first());
                    return Ok(match version {
                        Some(Cell::Int(version)) => Some(*version),
                        _ => None,
                    });
                }
                Err(error) => error,
            };
            let is_fenced = error.code() == Some("CA001");
            let is_full = error.code().is_some_and(|code| FULL.contains(&code));
            match &error {
                LinkError::Lost(reason) => {
                    tracing::warn!(%reason, batch = self.lease.batch + 1, "the connection broke while a batch was written");
                }
                _ if is_fenced || is_full => {}
                _ => return Err(Fault::Lost(error.to_string())),
            }
            // The fence also refuses a batch that an older session of this process has committed in between.
            match witness(&self.session, &self.lease, until)? {
                Witness::Committed => return Ok(None),
                Witness::NotCommitted if is_fenced => {
                    return Err(Fault::Barred(StoreError::Fenced));
                }
                Witness::NotCommitted if has_begun => {
                    return Err(Fault::Lost(error.to_string()));
                }
                Witness::NotCommitted if Instant::now() >= until => {
                    return Err(Fault::Lost(error.to_string()));
                }
                Witness::NotCommitted => {
                    if is_full {
                        tracing::warn!(%error, "the server has no room: the batch is sent again");
                        pause.sleep();
                    }
                }
            }
        }
    }

    /// Returns the flows that a batch creates from the inbox.
    fn created(&self, batch: &Batch<'_>) -> Vec<Cell> {
        if self.forwarded.is_empty() {
            return Vec::new();
        }
        let new = batch.flows.iter();
        let new = new.filter(|added| added.row.as_ref().is_some_and(|row| row.is_new));
        let created = new.filter(|added| self.forwarded.contains(&added.flow));
        created.map(|added| added.flow.into()).collect()
    }
}

/// What became of a batch in doubt.
enum Witness {
    Committed,
    NotCommitted,
}

/// Finds out whether the batch in doubt is on disk. The row of this host is written and that commit awaited before it is believed: a
/// transaction whose session was ended while it waited for a standby is visible though not replicated.
fn witness(session: &Session, lease: &OwnLease, until: Instant) -> Result<Witness, Fault> {
    let me = [lease.cell()];
    let mut pause = Pause::default();
    loop {
        let found = session.reconnect().and_then(|()| {
            let steps = [
                Step::Script("BEGIN"),
                Step::run("SELECT batch FROM hosts WHERE id = $1 FOR UPDATE", &me),
                Step::run(
                    "UPDATE hosts SET backend = pg_backend_pid() WHERE id = $1",
                    &me,
                ),
                Step::Commit,
            ];
            session.send(&steps)
        });
        let error = match found {
            Ok(answers) => {
                reach(CrashPoint::WitnessRead);
                let rows = answers.into_iter().nth(1).unwrap_or_default().rows;
                let batch = match rows.first().map(Vec::as_slice) {
                    Some([Cell::Int(batch)]) => *batch,
                    _ => return Err(Fault::Barred(StoreError::Fenced)),
                };
                return match batch - lease.batch {
                    1 => Ok(Witness::Committed),
                    0 => Ok(Witness::NotCommitted),
                    _ => Err(Fault::Barred(StoreError::HistoryLost {
                        found: batch,
                        expected: lease.batch,
                    })),
                };
            }
            Err(error) => error,
        };
        if Instant::now() >= until {
            let message = format!(
                "{error}; whether the last batch is on disk is not known, and nothing more is written: when the server is back, `cairn \
                 recover` goes on with the flows"
            );
            return Err(Fault::Barred(StoreError::Database(message)));
        }
        pause.sleep();
    }
}
