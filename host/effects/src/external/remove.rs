//! The removal of an object that an earlier flow made. It has no inverse: it is the pivot of its flow.

use serde_json::json;

use cairn_model::error::TaskError;
use cairn_model::id::HostId;
use cairn_model::value::{Digest, Object, Value};

use super::{ExternalKey, ExternalRow, TABLE, state};
use crate::effect::{Applied, Change};
use crate::rows::{Rows, Stop};
use crate::rules::Effect;

/// The intent to remove an object. It is never undone: the row is removed once the object is, or is `made` again if the provider has refused.
#[derive(Clone, Debug, PartialEq)]
pub struct IntendRemoval {
    /// The object.
    pub key: ExternalKey,
    /// The digest of the component of the provider that is asked.
    pub digest: Digest,
    /// The process that is about to act.
    pub host: HostId,
}

/// Returns whether an effect announces the removal of an object, after which its flow only goes forward.
pub fn is_removal(applied: &Applied) -> bool {
    applied.effect == IntendRemoval::NAME
}

impl Effect for IntendRemoval {
    const NAME: &'static str = "external_remove";
    const FUNCTION: &'static str = "externals.remove";
    /// The token of the act.
    type Answer = u64;

    fn arguments(&self) -> Value {
        json!({"provider": &*self.key.provider, "kind": &*self.key.kind, "id": &*self.key.id})
    }

    fn apply(&self, rows: &mut Rows<'_>) -> Result<u64, Stop> {
        let by = rows.by();
        let project = by.requester.project_id.clone();
        let flow = by.call.map(|call| call.flow);
        let key = &self.key;
        let Some(row) = rows.get::<ExternalRow>(key.key())? else {
            return Err(key.not_found().into());
        };
        if *row.project_id != *project {
            rows.deny("external", &*key.id);
            return Err(key.not_found().into());
        }
        if flow.is_some() && row.flow == flow {
            let message = format!(
                "the object `{}` of `{}` was made by this flow: its rollback removes it, and no task can",
                key.id, key.provider
            );
            return Err(TaskError::new("InvalidInput", message).into());
        }
        if &*row.state != state::MADE {
            let message = format!(
                "the object `{}` of `{}` is {}: another act on it has not ended",
                key.id, key.provider, row.state
            );
            return Err(TaskError::new("Busy", message).into());
        }
        let changed = ExternalRow {
            state: state::REMOVING.into(),
            digest: self.digest.to_string().into(),
            token: row.token + 1,
            host: Some(self.host),
            updated_at: rows.now(),
            ..ExternalRow::clone(&row)
        };
        let token = u64::try_from(changed.token).unwrap_or(0);
        rows.update(&row, changed);
        rows.note(Change::Row {
            table: TABLE.name.into(),
            id: key.key(),
            before: Some(Object::from_iter([(
                "state".to_owned(),
                state::MADE.into(),
            )])),
            after: None,
        });
        Ok(token)
    }
}
