//! What the writer knows of a flow that somebody writes to: a small fold of its own, over the events that pass by.

use std::collections::BTreeSet;

use cairn_effects::effect::{Applied, Change};
use cairn_effects::event::{Event, FlowState};
use cairn_effects::rows::{Made, Tables};
use cairn_model::clock::Timestamp;
use cairn_model::id::{CallId, FlowId, Phase, TaskId};
use cairn_model::value::Digest;

use super::entries::Written;
use crate::StoreError;
use crate::backend::{FlowEntries, FlowRow};

/// What the writer knows of a flow that somebody writes to.
#[derive(Default)]
pub(super) struct Session {
    /// The flow's row, once `Created` was seen.
    pub(super) head: Option<Head>,
    /// Entries of the open batch, coalesced into one row at its commit.
    pub(super) pending: Written,
    /// Number of the next entry.
    pub(super) next_entry: i64,
    /// Number of the next effect.
    pub(super) next_effect: u32,
    /// The rows that it made or changed.
    pub(super) made: Made,
    /// The call whose effects are taken.
    pub(super) open: Option<CallId>,
    /// Why its latest entries are gone, or were not taken.
    pub(super) lost: Option<StoreError>,
    /// The open batch has something of it.
    pub(super) in_batch: bool,
    /// It was in nobody's hand when it was last on disk.
    pub(super) rested: bool,
    /// Tasks whose revert failed.
    unreverted: BTreeSet<TaskId>,
    /// What of others the open call named so far: kind and id.
    denied: BTreeSet<(&'static str, String)>,
    /// A table that it changed and that no domain knows.
    pub(super) unknown: Option<String>,
    /// How many handles write to it; without one it is forgotten when its entries are on disk.
    pub(super) handles: u32,
}

pub(super) struct Head {
    pub(super) created: Created,
    pub(super) state: FlowState,
    pub(super) error: Option<String>,
    pub(super) written: bool,
}

/// What a flow's row says of its beginning.
pub(super) struct Created {
    pub(super) at: Timestamp,
    pub(super) name: String,
    pub(super) project_id: String,
    pub(super) user_id: String,
    pub(super) plan: Option<Digest>,
}

/// Stands for an operator, whose effects belong to no flow and are not journalled.
pub(super) const OPERATOR: CallId = CallId {
    flow: FlowId(uuid::Uuid::nil()),
    task: TaskId(uuid::Uuid::nil()),
    phase: Phase::Call,
    attempt: 0,
};

impl Session {
    /// A flow that nothing is known of yet.
    pub(super) fn with_handles(handles: u32) -> Self {
        Self {
            handles,
            ..Self::default()
        }
    }

    /// What the open batch adds to the flow; `None` when it adds nothing.
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
        });
        Some(FlowEntries {
            flow,
            first: self.next_entry,
            entries: self.pending.pack(),
            row,
        })
    }

    /// The pending entries are on disk.
    pub(super) fn committed(&mut self) {
        self.next_entry += self.pending.len() as i64;
        self.pending.clear();
        self.in_batch = false;
        self.rested = self.rests();
        self.on_disk();
    }

    /// Whether it is to be noted that the open call named a thing of another's: once for each, and no more of them than a
    /// person reads, or a plugin could fill the journal.
    pub(super) fn denies(&mut self, kind: &'static str, id: &str) -> bool {
        const MOST: usize = 100;
        self.denied.len() < MOST && self.denied.insert((kind, id.to_owned()))
    }

    /// Whether nobody has to go on with it: it has ended, or waits between two calls.
    pub(super) fn rests(&self) -> bool {
        let state = self.head.as_ref().map(|head| head.state);
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

    /// Whether its rollback left tasks unreverted, and nobody has accepted that.
    pub(super) fn is_incomplete(&self) -> bool {
        let failed = matches!(&self.head, Some(head) if head.state == FlowState::Failure);
        failed && !self.unreverted.is_empty()
    }

    /// The tasks whose revert failed, and that no operator has accepted.
    pub(super) fn unreverted(&self) -> BTreeSet<TaskId> {
        self.unreverted.clone()
    }

    /// Everything noted so far came from the disk, `entries` of them.
    pub(super) fn loaded(&mut self, entries: usize) {
        self.next_entry = entries as i64;
        // A call that was in hand is over: whoever ran it is gone.
        self.open = None;
        self.on_disk();
    }

    fn on_disk(&mut self) {
        if let Some(head) = &mut self.head {
            head.written = true;
        }
    }

    /// Takes note of an effect: its number, and the rows that it changed.
    pub(super) fn applied(&mut self, applied: &Applied, tables: &Tables) {
        self.next_effect = applied.number + 1;
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

    /// Takes note of an event: what the flow's row says, and which call is open.
    pub(super) fn note(&mut self, flow: FlowId, at: Timestamp, event: &Event, tables: &Tables) {
        let call = |task: TaskId, phase, attempt| CallId {
            flow,
            task,
            phase,
            attempt,
        };
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
            Event::Reset => {
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
            Event::Accepted { .. } => self.unreverted.clear(),
            Event::Applied(applied) => self.applied(applied, tables),
            Event::Replayed { .. }
            | Event::Checkpoint { .. }
            | Event::Undone { .. }
            | Event::Denied { .. }
            | Event::WouldDeny { .. }
            | Event::CheckLog { .. }
            | Event::Log { .. } => {}
            // Each event that is known stands above.
            _ => {}
        }
    }
}
