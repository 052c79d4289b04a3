//! Undoes effects, newest first.

use cairn_effects::effect::{Applied, Caller, Change};
use cairn_effects::event::Event;
use cairn_effects::history::is_intent;
use cairn_effects::outbox::IsGone;
use cairn_effects::rows::Text;
use cairn_model::error::{HostErrorKind, TaskError};
use cairn_model::id::{Identity, Phase, TaskId};

use super::{Flow, FlowError};

impl Flow {
    /// Undoes the standing effects of one phase of a task, newest first. The inner error is a refusal.
    pub(super) fn undo(
        &self,
        task: TaskId,
        phase: Phase,
    ) -> Result<Result<(), TaskError>, FlowError> {
        let standing = self.0.live().history.standing(task, phase);
        self.undo_all(standing)
    }

    /// The message of a cast whose row is gone: of a flow that succeeded, it was delivered.
    fn delivered(&self, cast: &Applied) -> Result<Option<Text>, FlowError> {
        let requester = Identity::default();
        let by = Caller {
            call: None,
            requester: &requester,
        };
        let ids = cast.changes.iter().filter_map(|change| match change {
            Change::Row { id, .. } => id.0.first().map(Text::clone),
            _ => None,
        });
        for id in ids {
            let is_gone = IsGone(Text::clone(&id));
            let answer = self.0.store.look_up_dyn(by, &is_gone)?;
            if matches!(answer.downcast_ref::<bool>(), Some(true)) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    pub(super) fn undo_all(
        &self,
        standing: Vec<Applied>,
    ) -> Result<Result<(), TaskError>, FlowError> {
        for applied in standing {
            if is_intent(&applied) {
                match self.0.unmake(&applied)? {
                    Ok(()) => continue,
                    Err(error) => return Ok(Err(error)),
                }
            }
            let mut live = self.0.live();
            if live.history.is_sent(&applied)
                && let Some(id) = self.delivered(&applied)?
            {
                let message = format!("cast `{id}` has left");
                let refused = TaskError::host(HostErrorKind::UndoRefused, message);
                return Ok(Err(refused));
            }
            match self.0.store.undo(&applied) {
                Ok(()) => {
                    let undone = Event::Undone {
                        number: applied.number,
                    };
                    live.history
                        .apply(cairn_model::clock::Timestamp(0), &undone);
                }
                Err(cairn_store::StoreError::Refused(error)) => return Ok(Err(error)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Ok(()))
    }
}
