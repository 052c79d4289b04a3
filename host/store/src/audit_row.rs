//! A row of the audit, as it is written in every kind of transaction.

use cairn_effects::rows::Cell;
use cairn_model::audit::Asker;
use cairn_model::clock::Timestamp;
use cairn_model::value::{Digest, Value};
use serde_json::json;

/// The most bytes of JSON that are kept of a subject before or after a change.
const MOST: usize = 4096;

/// A change by an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRow {
    /// When it was made.
    pub at: Timestamp,
    /// The operator.
    pub user_id: String,
    /// Where it was asked for.
    pub source: String,
    /// Its name, such as `flow.rollback`.
    pub action: String,
    /// What was changed: an id or a name.
    pub subject: String,
    /// The project of the subject, if it has one.
    pub project_id: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// The subject before it; null if there was none.
    pub before: Value,
    /// The subject after it; null if there is none.
    pub after: Value,
}

impl AuditRow {
    /// Creates a row without a change: of whom, and when.
    pub(crate) fn new(at: Timestamp, by: impl Into<Asker>) -> Self {
        let Asker { user_id, source } = by.into();
        Self {
            at,
            user_id,
            source,
            action: String::new(),
            subject: String::new(),
            project_id: None,
            reason: None,
            before: Value::Null,
            after: Value::Null,
        }
    }

    /// The statement that inserts a row, in portable SQL.
    pub(crate) const INSERT: &str =
        "INSERT INTO audit (id, at, user_id, source, action, subject, project_id, reason, before, after)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

    /// Returns the parameters of [`INSERT`](Self::INSERT), with a new id.
    pub(crate) fn cells(&self) -> [Cell; 10] {
        let id = cairn_model::id::uuid().to_string();
        [
            id.as_str().into(),
            self.at.into(),
            self.user_id.as_str().into(),
            self.source.as_str().into(),
            self.action.as_str().into(),
            self.subject.as_str().into(),
            self.project_id.as_deref().into(),
            self.reason.as_deref().into(),
            shown(&self.before),
            shown(&self.after),
        ]
    }
}

/// Returns JSON as text, or the length and the digest of one that is long.
fn shown(value: &Value) -> Cell {
    if value.is_null() {
        return Cell::Null;
    }
    let text = value.to_string();
    if text.len() <= MOST {
        return text.as_str().into();
    }
    let digest = Digest::of(text.as_bytes()).to_string();
    let short = json!({"bytes": text.len(), "sha256": digest});
    short.to_string().as_str().into()
}
