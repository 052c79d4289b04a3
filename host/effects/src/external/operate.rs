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

/// The removal of an object by an operator.
#[derive(Clone, Copy, Debug)]
pub struct OperatorsAct<'a> {
    /// The object.
    pub key: &'a ExternalKey,
    /// The digest of the provider's component.
    pub digest: Digest,
    /// The process that is about to act.
    pub host: HostId,
    /// The process whose act on the object is known to be over, or is fenced off, if its end is not recorded.
    pub over: Option<HostId>,
}

/// What an operator's removal has found.
#[derive(Clone, Debug)]
pub struct BegunRemoval {
    /// Greater than that of each act on the object before.
    pub act: u64,
    /// The state of its row; `None` if it had none.
    before: Option<Text>,
}

/// How an operator's removal has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovalEnd {
    /// The object is gone.
    Gone,
    /// Nothing was removed.
    Refused,
    /// It is not known what there is of the object.
    Unsure,
}

/// Notes that an object is about to be removed; makes a row for one that has none. The caller checks that its flow is over.
///
/// # Errors
/// `Busy` when another process has begun an act on it meanwhile; [`Stop::Missing`].
pub fn begin_removal(rows: &mut Rows<'_>, act: &OperatorsAct<'_>) -> Result<BegunRemoval, Stop> {
    let OperatorsAct { key, digest, .. } = *act;
    let host = Some(act.host);
    // Also greater than that of an act whose row is gone.
    let now = rows.now().0 / 1_000_000;
    let Some(row) = rows.get::<ExternalRow>(key.key())? else {
        let row = ExternalRow {
            host,
            token: now,
            ..unowned(rows, key, digest, state::REMOVING)
        };
        rows.insert(row);
        return Ok(BegunRemoval {
            act: u64::try_from(now).unwrap_or(0),
            before: None,
        });
    };
    if row.host.is_some() && (row.host != act.over || row.host == host) {
        let message = format!(
            "another act on the object `{}` of `{}` has begun: try again when it is over",
            key.id, key.provider
        );
        return Err(TaskError::new("Busy", message).into());
    }
    let token = now.max(row.token + 1);
    let changed = ExternalRow {
        state: state::REMOVING.into(),
        token,
        host,
        updated_at: rows.now(),
        ..ExternalRow::clone(&row)
    };
    rows.update(&row, changed);
    Ok(BegunRemoval {
        act: u64::try_from(token).unwrap_or(0),
        before: Some(Text::clone(&row.state)),
    })
}

/// Records how a removal has ended: the row is removed, or is as before, or stays as one whose removal is to be repeated. Does nothing if
/// there is no row any more.
///
/// # Errors
/// `ExternalChanged` when another act on the object has begun since; [`Stop::Missing`].
pub fn end_removal(
    rows: &mut Rows<'_>,
    act: &OperatorsAct<'_>,
    begun: &BegunRemoval,
    end: RemovalEnd,
) -> Result<(), Stop> {
    let key = act.key;
    let Some(row) = rows.get::<ExternalRow>(key.key())? else {
        return Ok(());
    };
    if row.host != Some(act.host) || u64::try_from(row.token) != Ok(begun.act) {
        let message = format!(
            "the row of the object `{}` of `{}` was changed meanwhile: it is `{}`",
            key.id, key.provider, row.state
        );
        return Err(TaskError::new("ExternalChanged", message).into());
    }
    let state = match (end, &begun.before) {
        (RemovalEnd::Gone, _) | (RemovalEnd::Refused, None) => {
            rows.remove(&row);
            return Ok(());
        }
        (RemovalEnd::Refused, Some(before)) => Text::clone(before),
        (RemovalEnd::Unsure, _) => Text::clone(&row.state),
    };
    let changed = ExternalRow {
        state,
        host: None,
        updated_at: rows.now(),
        ..ExternalRow::clone(&row)
    };
    rows.update(&row, changed);
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
