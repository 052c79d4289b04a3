//! Sequences: each number is given once.

use serde_json::json;

use cairn_model::error::TaskError;
use cairn_model::value::Value;

use super::place::{joined, own_project, settings};
use super::tables::Sequence;
use crate::settings::shown;
use cairn_effects::rows::{Rows, Stop, Text};
use cairn_effects::rules::Effect;

/// Takes the next number of a sequence, greater than all before it. A number is never returned, so a flow that fails leaves a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceNext {
    /// The collection.
    pub collection: String,
    /// The sequence.
    pub sequence: String,
}

impl Effect for SequenceNext {
    const NAME: &'static str = "sequence_next";
    const FUNCTION: &'static str = "records.next";
    /// The number; the first one is 1.
    type Answer = u64;

    fn arguments(&self) -> Value {
        json!({"collection": self.collection, "sequence": self.sequence})
    }

    /// Notes no change, so that a rollback has nothing to undo.
    fn apply(&self, rows: &mut Rows<'_>) -> Result<u64, Stop> {
        if !settings(rows, &self.collection)?
            .sequences
            .contains(&self.sequence)
        {
            return Err(self.not_found());
        }
        let project = own_project(rows)?;
        let (collection, sequence) = (Text::from(&*self.collection), Text::from(&*self.sequence));
        let found = rows.get::<Sequence>(joined([&project, &collection, &sequence]))?;
        let old = found.unwrap_or_else(|| {
            rows.insert(Sequence {
                project_id: project,
                collection,
                sequence,
                given: 0,
            })
        });
        let Some(given) = old.given.checked_add(1) else {
            let message = format!(
                "the sequence `{}` of the collection `{}` has no number left",
                shown(&self.sequence),
                shown(&self.collection)
            );
            return Err(TaskError::new("Bounds", message).into());
        };
        let new = Sequence {
            given,
            ..Sequence::clone(&old)
        };
        rows.update(&old, new);
        Ok(given.unsigned_abs())
    }
}

impl SequenceNext {
    fn not_found(&self) -> Stop {
        let (sequence, collection) = (shown(&self.sequence), shown(&self.collection));
        let message = format!(
            "the collection `{collection}` has no sequence `{sequence}`: the operator adds it to `sequences` of [records.{collection}] in \
             cairn.toml"
        );
        TaskError::new("SequenceNotFound", message)
            .with("collection", &*self.collection)
            .with("sequence", &*self.sequence)
            .into()
    }
}
