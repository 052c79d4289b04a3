//! Acts outside the database, as a flow's journal has them.

use std::sync::Arc;

use cairn_model::error::TaskError;
use cairn_model::id::{CallId, TaskId};
use cairn_model::value::Value;

use super::{History, Recorded};
use crate::effect::Applied;
use crate::event::Event;
use crate::external::{ExternalKey, Intend, is_removal};
use crate::rules::Effect as _;

/// How far an act is.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// It was announced; its outcome is not recorded.
    Open,
    /// The object was made.
    Made(Arc<Value>),
    /// It is not known what there is of the object: why, and how often that was found.
    InDoubt(TaskError, u32),
    /// The object is being removed.
    Removing,
    /// The object was removed, as its intent says.
    Removed,
}

impl Act {
    pub(super) fn begun(applied: &Applied) -> Option<Self> {
        (is_intent(applied) || is_removal(applied)).then_some(Self::Open)
    }
}

/// Returns whether an effect announces the making of an object. Undoing it takes another act.
pub fn is_intent(applied: &Applied) -> bool {
    applied.effect == Intend::NAME
}

impl History {
    pub(super) fn fold_act(&mut self, event: &Event) {
        let (Event::Settled { number, .. }
        | Event::Closed { number, .. }
        | Event::InDoubt { number, .. }
        | Event::Removing { number }
        | Event::Removed { number }) = event
        else {
            return;
        };
        let at = self
            .effects
            .iter()
            .rposition(|effect| effect.applied.number == *number);
        let Some(at) = at else { return };
        let doubts = match &self.effects[at].act {
            Some(Act::InDoubt(_, doubts)) => *doubts,
            _ => 0,
        };
        let act = match event {
            Event::Settled { result, .. } => Act::Made(Arc::clone(result)),
            Event::InDoubt { error, .. } => Act::InDoubt(error.clone(), doubts + 1),
            // It stays in doubt until its end is known.
            Event::Removing { .. } if doubts > 0 => return,
            Event::Removing { .. } if is_removal(&self.effects[at].applied) => Act::Open,
            Event::Removing { .. } => Act::Removing,
            Event::Removed { .. } => Act::Removed,
            _ => {
                self.effects.remove(at);
                return;
            }
        };
        self.effects[at].act = Some(act);
    }

    /// Returns how far the act of an intent is.
    pub fn act(&self, number: u32) -> Option<&Act> {
        let mut effects = self.effects.iter().rev();
        let found = effects.find(|effect| effect.applied.number == number)?;
        found.act.as_ref()
    }

    /// Returns the intent of this flow for an object that is not removed, and its act.
    pub fn act_on(&self, key: &ExternalKey) -> Option<(&Applied, &Act)> {
        let is_it = |effect: &&Recorded| {
            effect.act.is_some() && ExternalKey::of(&effect.applied).as_ref() == Some(key)
        };
        let effect = self.present().rev().find(is_it)?;
        Some((&effect.applied, effect.act.as_ref()?))
    }

    /// Returns an act that a call has begun and that has not come to its end.
    pub fn unsettled_act(&self, call: CallId) -> Option<&Act> {
        let mut acts = self.present().filter(|effect| effect.applied.call == call);
        acts.find_map(|effect| {
            let act = effect.act.as_ref();
            act.filter(|act| !matches!(act, Act::Made(_) | Act::Removed))
        })
    }

    /// Returns the intents to remove objects whose outcome is not known, in order.
    pub fn open_removals(&self) -> Vec<Applied> {
        let open = self.present().filter(|effect| {
            is_removal(&effect.applied) && !matches!(effect.act, Some(Act::Removed))
        });
        open.map(|effect| effect.applied.clone()).collect()
    }

    /// Returns whether the flow has passed its pivot: it has begun to remove an object, and the provider has not refused. It only goes
    /// forward from then on, until it has succeeded or an operator ends it.
    pub fn is_past_pivot(&self) -> bool {
        self.present().any(|effect| is_removal(&effect.applied))
    }

    /// Returns whether the removal of an object of a task has begun.
    pub fn is_removing(&self, task: TaskId) -> bool {
        let mut acts = self
            .present()
            .filter(|effect| effect.applied.call.task == task);
        acts.any(|effect| matches!(effect.act, Some(Act::Removing | Act::InDoubt(..))))
    }

    /// Returns the intents whose outcome is not known, with the reason.
    pub fn in_doubt(&self) -> impl Iterator<Item = (&Applied, &TaskError)> {
        self.present().filter_map(|effect| match &effect.act {
            Some(Act::InDoubt(error, _)) => Some((&effect.applied, error)),
            _ => None,
        })
    }
}
