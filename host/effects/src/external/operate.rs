//! What operators do with objects outside of flows: they adopt those that have no row, and remove those whose flow is over.

use cairn_model::error::TaskError;
use cairn_model::id::HostId;
use cairn_model::value::{Digest, Value};
use serde_json::json;

use super::{ExternalKey, ExternalRow, state};
use crate::rows::{Rows, Stop, Text};

/// An object without a row that an operator makes the project's.
#[derive(Clone, Copy, Debug)]
pub struct Adoption<'a> {
    /// The object.
    pub key: &'a ExternalKey,
    /// Why it is adopted. The row has it, and who adopted the object, in place of a spec.
    pub reason: &'a str,
    /// What its provider tells about it; `None` for a part of an object.
    pub result: Option<&'a Value>,
    /// The digest of the provider's component.
    pub digest: Digest,
}

/// Makes a row for an object that has none. No flow removes it.
///
/// # Errors
/// `ExternalExists`; [`Stop::Missing`].
pub fn adopt(rows: &mut Rows<'_>, adoption: Adoption<'_>) -> Result<(), Stop> {
    let Adoption {
        key,
        reason,
        result,
        digest,
    } = adoption;
    if let Some(row) = rows.get::<ExternalRow>(key.key())? {
        let message = format!(
            "the object `{}` of `{}` has a row, of the project `{}`",
            key.id, key.provider, row.project_id
        );
        return Err(TaskError::new("ExternalExists", message).into());
    }
    let by = &rows.by().requester.user_id;
    let spec = json!({"adopted": {"by": by, "reason": reason}});
    let row = ExternalRow {
        result: result.map(|result| result.to_string().into()),
        spec: spec.to_string().into(),
        ..unowned(rows, key, digest, state::MADE)
    };
    rows.insert(row);
    Ok(())
}

/// Notes that an object is about to be removed; makes a row for one that has none. Returns how many acts on it there were, this one
/// included. `host` is the process that is about to act. The caller checks that its flow is over, and that no other process is in an act on it.
///
/// # Errors
/// [`Stop::Missing`].
pub fn begin_removal(
    rows: &mut Rows<'_>,
    key: &ExternalKey,
    digest: Digest,
    host: HostId,
) -> Result<u64, Stop> {
    let host = Some(host);
    let Some(row) = rows.get::<ExternalRow>(key.key())? else {
        let row = ExternalRow {
            host,
            ..unowned(rows, key, digest, state::REMOVING)
        };
        rows.insert(row);
        return Ok(1);
    };
    let token = row.token + 1;
    let changed = ExternalRow {
        state: state::REMOVING.into(),
        token,
        host,
        updated_at: rows.now(),
        ..ExternalRow::clone(&row)
    };
    rows.update(&row, changed);
    Ok(u64::try_from(token).unwrap_or(0))
}

/// Removes the row of an object that `is_gone`; else notes that the act on it is over. Does nothing if there is no row any more.
///
/// # Errors
/// `ExternalChanged` when the object is not being removed; [`Stop::Missing`].
pub fn end_removal(rows: &mut Rows<'_>, key: &ExternalKey, is_gone: bool) -> Result<(), Stop> {
    let Some(row) = rows.get::<ExternalRow>(key.key())? else {
        return Ok(());
    };
    if &*row.state != state::REMOVING {
        let message = format!(
            "the row of the object `{}` of `{}` was changed meanwhile: it is `{}`",
            key.id, key.provider, row.state
        );
        return Err(TaskError::new("ExternalChanged", message).into());
    }
    if is_gone {
        rows.remove(&row);
    } else {
        let changed = ExternalRow {
            host: None,
            updated_at: rows.now(),
            ..ExternalRow::clone(&row)
        };
        rows.update(&row, changed);
    }
    Ok(())
}

/// Returns a row of the requester's project that no flow owns.
fn unowned(rows: &Rows<'_>, key: &ExternalKey, digest: Digest, state: &str) -> ExternalRow {
    ExternalRow {
        provider: Text::clone(&key.provider),
        kind: Text::clone(&key.kind),
        id: Text::clone(&key.id),
        project_id: rows.by().requester.project_id.as_str().into(),
        flow: None,
        task: "".into(),
        state: state.into(),
        spec: Value::Null.to_string().into(),
        result: None,
        digest: digest.to_string().into(),
        token: 1,
        host: None,
        created_at: rows.now(),
        updated_at: rows.now(),
    }
}
