//! The writer's state of a flow that has handles: a small fold of its own over the flow's events.

use std::collections::BTreeSet;

use cairn_effects::effect::{Applied, Change};
use cairn_effects::event::{Event, FlowState};
use cairn_effects::external::is_removal;
use cairn_effects::history::{Sleep, fold_sleep};
use cairn_effects::rows::{Made, Tables};
use cairn_model::clock::Timestamp;
use cairn_model::id::{CallId, FlowId, Phase, TaskId};
use cairn_model::value::{Digest, Value};
use serde_json::json;

use super::entries::Written;
use crate::StoreError;
use crate::backend::{FlowEntries, FlowRow};
use crate::partitions::{Partitions, partition_of};

/// The writer's state of a flow that has handles.
#[derive(Default)]
pub(super) struct Session {
    /// The flow's row, once `Created` was seen.
    pub(super) head: Option<Head>,
    /// Entries of the open batch, coalesced into one row at its commit.
    pub(super) pending: Written,
    /// Number of the first entry that is not on disk.
    pub(super) next_entry: i64,
    /// Number of the next effect.
    pub(super) next_effect: u32,
    /// The rows that it created or changed.
    pub(super) made: Made,
    /// The running call, whose effects are accepted.
    pub(super) open: Option<CallId>,
    /// Why its latest entries were rolled back or refused.
    pub(super) lost: Option<StoreError>,
    /// Whether the open batch lists it.
    pub(super) in_batch: bool,
    /// Whether no process owned it after its last commit or load, so that another process may have continued it.
    pub(super) rested: bool,
    /// Its sleep, while it needs no process.
    sleep: Option<Sleep>,
    /// The numbers of the intents to remove objects that were not refused: it has passed its pivot.
    removals: BTreeSet<u32>,
    /// Tasks whose revert failed.
    unreverted: BTreeSet<TaskId>,
    /// Rows of other projects that the open call has named: kind and id.
    denied: BTreeSet<(&'static str, String)>,
    /// A table that it changed and no registered domain has.
    pub(super) unknown: Option<String>,
    /// The number of handles; without one the session is removed when its entries are on disk.
    pub(super) handles: u32,
    /// The partition of its project, once it was asked for.
    part: Option<u8>,
}

pub(super) struct Head {
    pub(super) created: Created,
    pub(super) state: FlowState,
    pub(super) error: Option<String>,
    pub(super) written: bool,
}

/// The columns of a flow's row that its creation sets.
pub(super) struct Created {
    pub(super) at: Timestamp,
    pub(super) name: String,
    pub(super) project_id: String,
    pub(super) user_id: String,
    pub(super) plan: Option<Digest>,
}

/// The call id of an operator, whose effects belong to no flow and are not journalled.
pub(super) const OPERATOR: CallId = CallId {
    flow: FlowId(uuid::Uuid::nil()),
    task: TaskId(uuid::Uuid::nil()),
    phase: Phase::Call,
    attempt: 0,
};

impl Session {
    /// Creates the session of a flow without events.
    pub(super) fn with_handles(handles: u32) -> Self {
        Self {
            handles,
            ..Self::default()
        }
    }

    pub(super) fn project_id(&self) -> Option<&str> {
        Some(&self.head.as_ref()?.created.project_id)
    }

    /// Returns whether its project is in these partitions.
    pub(super) fn is_in(&mut self, parts: &Partitions) -> bool {
        if self.part.is_none() {
            self.part = self.project_id().map(partition_of);
        }
        self.part.is_none_or(|part| parts.contains(part))
    }

    /// Returns what the audit shows of the flow.
    pub(super) fn shown(&self) -> Value {
        let state = self.head.as_ref().map(|head| head.state);
        match self.is_incomplete() {
            true => json!({"state": state, "incomplete": true}),
            false => json!({"state": state}),
        }
    }

    /// Returns the pending entries and the flow's new row; `None` when there are no entries.
    pub(super) fn entries(&self, flow: FlowId) -> Option<FlowEntries<'_>> {
        if self.pending.is_empty() {
            return None;
        }
        let row = self.head.as_ref().map(|head| FlowRow {
            is_new: !head.written,
            name: &head.created.name,
            project_id: &head.created.project_id,
            user_id: &head.created.user_id,
            plan: head.created.plan,
            state: head.state,
            error: head.error.as_deref(),
            created_at: head.created.at,
            updated_at: self.pending.last().unwrap_or(head.created.at),
            length: self.next_entry + self.pending.len() as i64,
            rests: self.rests(),
            incomplete: self.is_incomplete(),
            wake_at: self.wake_at(),
            forward: self.is_forward(),
        });
        Some(FlowEntries {
            flow,
            first: self.next_entry,
            entries: self.pending.pack(),
            row,
        })
    }

    /// Records that the pending entries are on disk; to be called after a commit.
    pub(super) fn committed(&mut self) {
        self.next_entry += self.pending.len() as i64;
        self.pending.clear();
        self.in_batch = false;
        self.rested = self.rests();
        self.on_disk();
    }

    /// Returns whether to journal that the open call named a row of another project: once for each row, and at most `MOST` rows for each
    /// call, so that a plugin cannot fill the journal.
    pub(super) fn denies(&mut self, kind: &'static str, id: &str) -> bool {
        const MOST: usize = 100;
        self.denied.len() < MOST && self.denied.insert((kind, id.to_owned()))
    }

    /// Returns when a flow that sleeps is to be woken. One that is built through the library alone is not woken by others.
    fn wake_at(&self) -> Option<Timestamp> {
        self.head.as_ref()?.created.plan?;
        Some(self.sleep.as_ref()?.wake_at)
    }

    /// Returns whether the flow needs no owner: it has ended, sleeps, or is pending or interrupted between two calls.
    pub(super) fn rests(&self) -> bool {
        let state = self.head.as_ref().map(|head| head.state);
        if self.open.is_none() && self.wake_at().is_some() {
            return true;
        }
        self.open.is_none()
            && matches!(
                state,
                Some(
                    FlowState::Pending
                        | FlowState::Interrupted
                        | FlowState::Success
                        | FlowState::Failure
                )
            )
    }

    /// Returns whether it has passed its pivot, and has not ended.
    fn is_forward(&self) -> bool {
        let state = self.head.as_ref().map(|head| head.state);
        let is_over = matches!(state, Some(FlowState::Success | FlowState::Failure));
        !self.removals.is_empty() && !is_over
    }

    /// Returns whether its rollback left tasks unreverted and no operator has accepted that.
    pub(super) fn is_incomplete(&self) -> bool {
        let failed = matches!(&self.head, Some(head) if head.state == FlowState::Failure);
        failed && !self.unreverted.is_empty()
    }

    /// Returns the tasks whose revert failed and that no operator has accepted.
    pub(super) fn unreverted(&self) -> BTreeSet<TaskId> {
        self.unreverted.clone()
    }

    /// Records that all events noted so far, `entries` of them, came from disk.
    pub(super) fn loaded(&mut self, entries: usize) {
        self.next_entry = entries as i64;
        // A call that was running is over: its process no longer runs the flow.
        self.open = None;
        self.on_disk();
    }

    fn on_disk(&mut self) {
        if let Some(head) = &mut self.head {
            head.written = true;
        }
    }

    /// Records an effect: its number, and the rows that it changed.
    pub(super) fn applied(&mut self, applied: &Applied, tables: &Tables) {
        self.next_effect = applied.number + 1;
        if is_removal(applied) {
            self.removals.insert(applied.number);
        }
        for change in &applied.changes {
            match change {
                Change::Row { table, id, .. } => match tables.row(table, id) {
                    Some(row) => drop(self.made.insert(row)),
                    None => self.unknown = Some(table.to_string()),
                },
                Change::Count { table, .. } if tables.get(table).is_none() => {
                    self.unknown = Some(table.to_string());
                }
                Change::Count { .. } | Change::Elsewhere(_) => {}
                _ => {}
            }
        }
    }

    /// Folds an event: updates the flow's row and the open call.
    pub(super) fn note(&mut self, flow: FlowId, at: Timestamp, event: &Event, tables: &Tables) {
        let call = |task: TaskId, phase, attempt| CallId {
            flow,
            task,
            phase,
            attempt,
        };
        fold_sleep(&mut self.sleep, event);
        match event {
            Event::Created {
                name,
                requester,
                plan,
                ..
            } => {
                self.head = Some(Head {
                    created: Created {
                        at,
                        name: name.clone(),
                        project_id: requester.project_id.clone(),
                        user_id: requester.user_id.clone(),
                        plan: *plan,
                    },
                    state: FlowState::Pending,
                    error: None,
                    written: false,
                });
                self.next_effect = 1;
            }
            Event::State { to, .. } => {
                if let Some(head) = &mut self.head {
                    head.state = *to;
                }
            }
            Event::Failed(cause) => {
                if let Some(head) = &mut self.head {
                    head.error.get_or_insert_with(|| cause.error.kind.clone());
                }
            }
            Event::Closed { number, .. } => drop(self.removals.remove(number)),
            Event::Reset => {
                self.removals.clear();
                self.unreverted.clear();
                if let Some(head) = &mut self.head {
                    head.error = None;
                }
            }
            Event::Started { task, attempt, .. } => {
                self.open = Some(call(*task, Phase::Call, *attempt));
                self.denied.clear();
            }
            Event::Reverting { task, attempt } => {
                self.open = Some(call(*task, Phase::Revert, *attempt));
                self.denied.clear();
            }
            Event::Succeeded { .. } | Event::TaskFailed { .. } | Event::Retried { .. } => {
                self.open = None;
            }
            Event::Reverted { task, .. } => {
                self.open = None;
                self.unreverted.remove(task);
            }
            Event::RevertFailed { task, .. } => {
                self.open = None;
                self.unreverted.insert(*task);
            }
            // A flow that sleeps is in no call.
            Event::Waits { .. } | Event::Sleeps { .. } => self.open = None,
            Event::Accepted { .. } => self.unreverted.clear(),
            Event::Applied(applied) => self.applied(applied, tables),
            Event::Replayed { .. }
            | Event::Checkpoint { .. }
            | Event::Operated { .. }
            | Event::Undone { .. }
            | Event::Denied { .. }
            | Event::WouldDeny { .. }
            | Event::CheckLog { .. }
            | Event::Log { .. }
            | Event::Woke
            | Event::Signalled { .. }
            | Event::Settled { .. }
            | Event::InDoubt { .. }
            | Event::Removing { .. }
            | Event::Removed { .. } => {}
            // All known events are listed above.
            _ => {}
        }
    }
}
