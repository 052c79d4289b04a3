//! What operators changed: the changes, and reads of them.

use serde::Serialize;

use cairn_effects::rows::Cell;
use cairn_model::clock::{self, Timestamp};
use cairn_model::value::{Object, Value};

use super::view::View;
use crate::StoreError;
use crate::sql::{Columns, SqlError};

/// A change by an operator, to be recorded. The transaction knows who makes it, from where, and when.
#[derive(Clone, Debug, Default)]
pub struct Change<'a> {
    /// Its name, such as `token.create`.
    pub action: &'a str,
    /// What is changed: an id or a name.
    pub subject: &'a str,
    /// The project of the subject, if it has one.
    pub project_id: Option<&'a str>,
    /// Why, in the operator's words; by default as [`because`](crate::admin::Admin::because) says.
    pub reason: Option<&'a str>,
    /// The subject before it; null if there was none.
    pub before: Value,
    /// The subject after it; null if there is none. Of JSON that is longer than 4 KiB the audit has the length and the digest.
    pub after: Value,
}

/// A change by an operator that was recorded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recorded {
    /// Grows with time.
    pub id: String,
    /// When it was made.
    #[serde(serialize_with = "clock::as_text")]
    pub at: Timestamp,
    /// The operator.
    pub user_id: String,
    /// Where it was asked for.
    pub source: String,
    /// Its name.
    pub action: String,
    /// What was changed.
    pub subject: String,
    /// The project of the subject.
    pub project_id: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// The subject before it.
    pub before: Value,
    /// The subject after it.
    pub after: Value,
}

/// Conditions on recorded changes; all that are set must hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditFilter<'a> {
    /// Of this subject.
    pub subject: Option<&'a str>,
    /// With this name, or with one that begins with it and a dot: `token`.
    pub action: Option<&'a str>,
    /// By this operator.
    pub user_id: Option<&'a str>,
    /// Made at this time or later.
    pub since: Option<Timestamp>,
    /// Older than the one with this id.
    pub before: Option<&'a str>,
}

/// Returns a row as JSON for [`Change`], without its empty columns.
pub fn shown(row: Object) -> Value {
    let filled = row.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(filled.collect())
}

impl View<'_> {
    /// Returns recorded changes, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn audit(
        &self,
        filter: AuditFilter<'_>,
        limit: usize,
    ) -> Result<Vec<Recorded>, StoreError> {
        let mut conditions = vec!["TRUE".to_owned()];
        let mut parameters: Vec<Cell> = Vec::new();
        let mut condition = |text: &str, cell: Cell| {
            parameters.push(cell);
            conditions.push(text.replace('?', &format!("${}", parameters.len())));
        };
        if let Some(subject) = filter.subject {
            condition("subject = ?", subject.into());
        }
        if let Some(action) = filter.action {
            // `/` follows `.` in ASCII.
            condition(
                "(action = ? OR (action > ? || '.' AND action < ? || '/'))",
                action.into(),
            );
        }
        if let Some(user_id) = filter.user_id {
            condition("user_id = ?", user_id.into());
        }
        if let Some(since) = filter.since {
            condition("at >= ?", since.into());
        }
        if let Some(before) = filter.before {
            condition("id < ?", before.into());
        }
        condition(
            "TRUE ORDER BY id DESC LIMIT ?",
            i64::try_from(limit).unwrap_or(i64::MAX).into(),
        );
        let statement = format!(
            "SELECT id, at, user_id, source, action, subject, project_id, reason, before, after FROM audit WHERE {}",
            conditions.join(" AND ")
        );
        let rows = self.sql().query(&statement, &parameters)?;
        rows.iter().map(|row| Ok(recorded(Columns(row))?)).collect()
    }
}

fn recorded(row: Columns<'_>) -> Result<Recorded, SqlError> {
    Ok(Recorded {
        id: row.text(0)?,
        at: Timestamp(row.int(1)?),
        user_id: row.text(2)?,
        source: row.text(3)?,
        action: row.text(4)?,
        subject: row.text(5)?,
        project_id: row.optional_text(6)?,
        reason: row.optional_text(7)?,
        before: row.optional_json(8)?,
        after: row.optional_json(9)?,
    })
}
