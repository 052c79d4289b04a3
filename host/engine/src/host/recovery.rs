//! Recovers flows without an owner: those of a process that died, and those whose batch was lost here.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::channel;

use cairn_effects::event::FlowState;
use cairn_effects::report::{Report, Verdict};
use cairn_manifest::manifest::OnLost;
use cairn_model::id::FlowId;
use cairn_store::StoreError;
use cairn_store::operation::Operation;

use super::{Core, Host, HostError};
use crate::flow::{FlowError, Recovery};

/// A flow that was taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Its id.
    pub id: FlowId,
    /// Its state, and the verdict of its rollback if it has one; or the reason why it is stuck.
    pub outcome: Result<(FlowState, Option<Verdict>), String>,
}

impl Host {
    /// Takes over flows without an owner: those of processes that died, or whose lease expired. Undoes the effects of the open
    /// call; then the flow continues or is rolled back, as its plan says (`on_lost`), and a flow that was reverting continues
    /// reverting. A flow that cannot be recovered is marked as stuck, with the reason, and the rest are recovered. Flows that
    /// are stuck already are left out unless `stuck_too`.
    ///
    /// # Errors
    /// [`HostError::Store`] when the database fails; flows that were not recovered still can be.
    pub fn recover(&self, stuck_too: bool) -> Result<Vec<Recovered>, HostError> {
        self.core.recover(stuck_too)
    }
}

impl Core {
    pub(super) fn recover(self: &Arc<Self>, stuck_too: bool) -> Result<Vec<Recovered>, HostError> {
        let flows = self.store.take_over(stuck_too)?;
        if flows.is_empty() {
            return Ok(Vec::new());
        }
        tracing::info!(flows = flows.len(), "taking over flows without an owner");
        let requests = self.store.requests()?;
        let asked: HashMap<FlowId, Recovery> = requests
            .into_iter()
            .filter_map(|request| match request.operation {
                Operation::Interrupt => Some((request.flow, Recovery::Interrupt)),
                Operation::Rollback { .. } => Some((request.flow, Recovery::Rollback)),
                _ => None,
            })
            .collect();
        let (tell, told) = channel();
        for id in flows {
            let (tell, how) = (tell.clone(), asked.get(&id).copied());
            let job = move |core: &Arc<Self>| {
                core.take_up_then(id, how, move |result| {
                    // The receiver waits for the last sender. It does not need the whole reports, which may be many.
                    let _ = tell.send((id, result.map(|report| of(&report))));
                });
            };
            self.pool.push(self, job)?;
        }
        drop(tell);
        let mut recovered = Vec::new();
        let mut failure = None;
        for (id, result) in told {
            let outcome = match result {
                Ok(end) => Ok(end),
                Err(HostError::CannotTakeUp { reason, .. }) => Err(reason),
                Err(HostError::Store(StoreError::Damaged { reason, .. })) => {
                    Err(format!("its journal is damaged: {reason}"))
                }
                Err(HostError::Store(error @ StoreError::UnknownTable { .. })) => {
                    Err(error.to_string())
                }
                // Another process or thread was faster.
                Err(error) if error.is_anothers() => continue,
                Err(error) => {
                    failure.get_or_insert(error);
                    continue;
                }
            };
            if let Err(reason) = &outcome {
                tracing::warn!(flow = %id, reason, "a flow cannot be recovered, and is set aside");
                self.store.set_aside(id, reason)?;
            }
            recovered.push(Recovered { id, outcome });
        }
        recovered.sort_by_key(|recovered| recovered.id);
        self.wake_dispatcher();
        match failure {
            Some(error) => Err(error),
            None => Ok(recovered),
        }
    }

    /// Recovers one flow, in a worker.
    fn take_up_then(
        self: &Arc<Self>,
        id: FlowId,
        how: Option<Recovery>,
        then: impl FnOnce(Result<Report, HostError>) + Send + 'static,
    ) {
        let (flow, how) = match self.take_up(id) {
            Ok((flow, on_lost)) => (flow, how.unwrap_or_else(|| Recovery::from(on_lost))),
            Err(error) => return then(Err(error)),
        };
        let core = Arc::clone(self);
        let ended = flow.recover_to_end(how);
        ended.then(move |result| {
            let followers = core.leave(id);
            let report = core.report(&flow, result);
            core.tell(id, followers, &report);
            drop(flow);
            then(report);
        });
    }

    /// Recovers a flow of this process whose batch was lost.
    pub(super) fn make_good(
        self: &Arc<Self>,
        id: FlowId,
        error: StoreError,
    ) -> Result<Report, HostError> {
        tracing::warn!(flow = %id, %error, "a batch was lost; recovering the flow from what is on disk");
        let (flow, on_lost) = match self.take_up(id) {
            Ok(restored) => restored,
            // No event of the flow is on disk: it was never submitted.
            Err(HostError::Store(StoreError::UnknownFlow(_))) => return Err(error.into()),
            Err(again) => {
                self.keeper.try_again();
                return Err(again);
            }
        };
        let result = flow.recover(Recovery::from(on_lost));
        let followers = self.leave(id);
        if let Err(FlowError::Store(error)) = &result
            && error.is_passing()
        {
            self.keeper.try_again();
        }
        let report = self.report(&flow, result);
        self.tell(id, followers, &report);
        report
    }
}

impl From<OnLost> for Recovery {
    fn from(on_lost: OnLost) -> Self {
        match on_lost {
            OnLost::Rollback => Self::Rollback,
            OnLost::Resume => Self::Resume,
        }
    }
}

/// Returns the state and the rollback's verdict of a report.
fn of(report: &Report) -> (FlowState, Option<Verdict>) {
    let rollback = report.rollback.as_ref();
    (report.flow.state, rollback.map(|rollback| rollback.verdict))
}

/// Returns whether a flow in this state waits, or has ended.
pub(super) fn is_rest(state: FlowState) -> bool {
    matches!(
        state,
        FlowState::Pending | FlowState::Interrupted | FlowState::Success | FlowState::Failure
    )
}
