//! What the writer knows of a flow that somebody writes to: a small fold of its own, over the events that pass by.

use crate::event::{Entry, Event, FlowState};
use crate::id::{CallId, FlowId, Phase, TaskId};

/// What the writer knows of a flow that somebody writes to.
#[derive(Default)]
pub(super) struct Session {
    /// The flow's row, once `Created` was seen.
    pub(super) head: Option<Head>,
    /// Entries of the open batch, coalesced into one row at its commit.
    pub(super) pending: Vec<Entry>,
    /// Number of the next entry.
    pub(super) next_entry: i64,
    /// Number of the next effect.
    pub(super) next_effect: u32,
    /// The call whose effects are taken.
    pub(super) open: Option<CallId>,
    /// Its latest entries are gone.
    pub(super) lost: bool,
    /// How many handles write to it; without one it is forgotten when its entries are on disk.
    pub(super) handles: u32,
}

pub(super) struct Head {
    pub(super) created: Entry,
    pub(super) state: FlowState,
    pub(super) error: Option<String>,
    pub(super) written: bool,
    pub(super) changed: bool,
}

impl CallId {
    /// Stands for an operator, whose effects belong to no flow and are not journalled.
    pub(super) const OPERATOR: Self = Self {
        flow: FlowId(uuid::Uuid::nil()),
        task: TaskId(uuid::Uuid::nil()),
        phase: Phase::Call,
        attempt: 0,
    };
}

impl Session {
    /// The pending entries are on disk.
    pub(super) fn committed(&mut self) {
        self.next_entry += self.pending.len() as i64;
        self.pending.clear();
        self.unchanged();
    }

    /// Everything noted so far came from the disk, `entries` of them.
    pub(super) fn loaded(&mut self, entries: usize) {
        self.next_entry = entries as i64;
        // A call that was in hand is over: whoever ran it is gone.
        self.open = None;
        self.unchanged();
    }

    /// The flow's row says what the session says.
    fn unchanged(&mut self) {
        if let Some(head) = &mut self.head {
            head.written = true;
            head.changed = false;
        }
    }

    /// Takes note of an entry: what the flow's row says, and which call is open.
    pub(super) fn note(&mut self, flow: FlowId, entry: &Entry) {
        let call = |task: TaskId, phase, attempt| CallId {
            flow,
            task,
            phase,
            attempt,
        };
        match &entry.event {
            Event::Created { .. } => {
                self.head = Some(Head {
                    created: entry.clone(),
                    state: FlowState::Pending,
                    error: None,
                    written: false,
                    changed: false,
                });
                self.next_effect = 1;
            }
            Event::State { to, .. } => {
                if let Some(head) = &mut self.head {
                    head.state = *to;
                    head.changed = true;
                }
            }
            Event::Failed(cause) => {
                if let Some(head) = &mut self.head {
                    head.error.get_or_insert_with(|| cause.error.kind.clone());
                    head.changed = true;
                }
            }
            Event::Reset => {
                if let Some(head) = &mut self.head {
                    head.error = None;
                    head.changed = true;
                }
            }
            Event::Started { task, attempt, .. } => {
                self.open = Some(call(*task, Phase::Call, *attempt))
            }
            Event::Reverting { task, attempt } => {
                self.open = Some(call(*task, Phase::Revert, *attempt))
            }
            Event::Succeeded { .. }
            | Event::TaskFailed { .. }
            | Event::Retried { .. }
            | Event::Reverted { .. }
            | Event::RevertFailed { .. } => self.open = None,
            Event::Applied(applied) => self.next_effect = applied.number + 1,
            Event::Replayed { .. }
            | Event::Checkpoint { .. }
            | Event::Undone { .. }
            | Event::Denied { .. }
            | Event::Log { .. } => {}
        }
    }
}
