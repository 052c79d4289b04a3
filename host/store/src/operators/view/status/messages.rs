//! Messages that have not left, or could not.

use serde::Serialize;

use cairn_model::clock::{self, Timestamp};
use cairn_model::status::StatusLimits;

use super::finding::{Finding, FindingKind, Severity, counted, rounded};
use crate::StoreError;
use crate::sql::Columns;
use crate::view::View;

/// How many undelivered messages are looked at. A backlog of more is counted as so many.
const COUNTED: i64 = 100_000;

/// Messages that are to be delivered, or could not be. Those without a transport (`ready`) are not counted: nothing tells whether a process
/// takes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MessageCounts {
    /// How many are being delivered; at most 100,000 messages are counted.
    pub sending: u64,
    /// Since when the oldest of them is to be delivered.
    #[serde(serialize_with = "clock::as_optional_text")]
    pub sending_since: Option<Timestamp>,
    /// How many could not be delivered.
    pub failed: u64,
    /// Since when the oldest of them was to be delivered.
    #[serde(serialize_with = "clock::as_optional_text")]
    pub failed_since: Option<Timestamp>,
}

/// Counts the undelivered messages.
pub(super) fn counts(view: &View<'_>) -> Result<MessageCounts, StoreError> {
    // The condition is written as that of the index.
    let statement = "SELECT state, count(*), min(since) FROM
             (SELECT state, since FROM outbox WHERE state IN ('sending', 'failed') LIMIT $1) AS undelivered
         GROUP BY state";
    let mut counts = MessageCounts::default();
    for row in view.query(statement, &[COUNTED.into()])? {
        let row = Columns(&row);
        let (state, number) = (row.text(0)?, row.int(1)?.unsigned_abs());
        let since = row.optional_int(2)?.map(Timestamp);
        match state.as_str() {
            "sending" => (counts.sending, counts.sending_since) = (number, since),
            _ => (counts.failed, counts.failed_since) = (number, since),
        }
    }
    Ok(counts)
}

/// Judges them.
pub(super) fn findings(
    counts: &MessageCounts,
    now: Timestamp,
    limits: &StatusLimits,
) -> Vec<Finding> {
    let finding = |kind, severity, count, sentence, command: &str| Finding {
        kind,
        severity,
        count,
        sentence,
        command: command.to_owned(),
        flows: Vec::new(),
    };
    let failed = counts.failed_since.map(|since| {
        let age = rounded(now.since(since));
        let sentence = format!(
            "{} could not be delivered, the oldest since {age}",
            counted(counts.failed, "message")
        );
        let command = "cairn outbox list --state failed --admin";
        finding(
            FindingKind::Failed,
            Severity::Error,
            counts.failed,
            sentence,
            command,
        )
    });
    let late = counts
        .sending_since
        .filter(|since| now.since(*since) > limits.undelivered);
    let late = late.map(|since| {
        let age = rounded(now.since(since));
        let sentence = format!(
            "the oldest of {} has been undelivered for {age}",
            counted(counts.sending, "message")
        );
        let command = "cairn outbox list --state sending --admin";
        finding(
            FindingKind::Undelivered,
            Severity::Warning,
            counts.sending,
            sentence,
            command,
        )
    });
    failed.into_iter().chain(late).collect()
}
