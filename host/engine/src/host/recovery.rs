//! Recovers flows without an owner: those of a process that died, and those whose batch was lost here.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::channel;

use cairn_effects::event::{Event, FlowState};
use cairn_effects::report::{Report, Verdict};
use cairn_manifest::manifest::OnLost;
use cairn_model::id::FlowId;
use cairn_store::StoreError;
use cairn_store::operation::Operation;

use super::territory::Stay;
use super::{Core, Host, HostError};
use crate::flow::{FlowError, Recovery};

/// A flow's state, and the verdict of its rollback if it has one.
pub(super) type End = (FlowState, Option<Verdict>);

/// A flow that was taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Its id.
    pub id: FlowId,
    /// Its state, and the verdict of its rollback if it has one; or the reason why it is stuck.
    pub outcome: Result<End, String>,
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
    fn recover(self: &Arc<Self>, stuck_too: bool) -> Result<Vec<Recovered>, HostError> {
        let flows = self.store.take_over(stuck_too)?;
        if flows.is_empty() {
            return Ok(Vec::new());
        }
        let (tell, told) = channel();
        self.recover_each(flows, move |_, id, result| {
            // The receiver waits for the last sender.
            let _ = tell.send((id, result));
        })?;
        let mut recovered = Vec::new();
        let mut failure = None;
        for (id, result) in told {
            match self.concluded(id, result) {
                Ok(one) => recovered.extend(one),
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        recovered.sort_by_key(|recovered| recovered.id);
        self.wake_dispatcher();
        match failure {
            Some(error) => Err(error),
            None => Ok(recovered),
        }
    }

    /// Recovers the flows that this process owns but does not run. Where several hosts share the database these are also those of its
    /// partitions whose host does not own them any more; then it does not wait for their end.
    pub(super) fn recover_own(self: &Arc<Self>) -> Result<(), HostError> {
        let Some(shared) = self.store.shared() else {
            return self.recover(false).map(drop);
        };
        let flows = shared.take_up()?;
        self.recover_each(flows, |core, id, result| {
            match core.concluded(id, result) {
                Ok(_) => core.wake_dispatcher(),
                Err(error) if error.is_final() => {}
                Err(error) => {
                    tracing::warn!(flow = %id, %error, "a flow could not be recovered; trying again later");
                    core.keeper.try_again();
                }
            }
        })
    }

    /// Recovers flows in workers; passes the end of each to `then`.
    fn recover_each(
        self: &Arc<Self>,
        mut flows: Vec<FlowId>,
        then: impl Fn(&Arc<Self>, FlowId, Result<End, HostError>) + Clone + Send + 'static,
    ) -> Result<(), HostError> {
        if let Some(territory) = &self.territory {
            // They rest until their partition is given back.
            flows.retain(|flow| !territory.is_handed_over(*flow));
        }
        if flows.is_empty() {
            return Ok(());
        }
        tracing::info!(flows = flows.len(), "taking over flows without an owner");
        let mut how: HashMap<FlowId, How> = HashMap::new();
        if let Some(shared) = self.store.shared() {
            let moved = shared.moved(&flows)?;
            how.extend(
                moved
                    .into_iter()
                    .map(|flow| (flow, Recovery::Resume.into())),
            );
        }
        for request in self.store.requests()? {
            let recovery = match request.asked.operation {
                Operation::Interrupt => Recovery::Interrupt,
                Operation::Rollback { .. } => Recovery::Rollback,
                _ => continue,
            };
            let asked = How {
                recovery,
                operated: request.asked.event(),
            };
            how.insert(request.flow, asked);
        }
        for id in flows {
            self.recover_one(id, how.remove(&id), then.clone())?;
        }
        Ok(())
    }

    /// Recovers a flow in a worker; as its plan says, unless the caller says how. Passes its end to `then`, not its report, as there may be
    /// many.
    fn recover_one(
        self: &Arc<Self>,
        id: FlowId,
        how: Option<How>,
        then: impl FnOnce(&Arc<Self>, FlowId, Result<End, HostError>) + Send + 'static,
    ) -> Result<(), HostError> {
        self.pool.push(self, move |core| {
            let host = Arc::clone(core);
            core.take_up_then(id, how, move |result| {
                then(&host, id, result.map(|report| of(&report)));
            });
        })
    }

    /// Continues a flow that rests between two tasks, as its partition stays here after all.
    pub(super) fn go_on_here(self: &Arc<Self>, id: FlowId, stay: Stay) {
        let pushed = self.recover_one(id, Some(Recovery::Resume.into()), move |core, id, result| {
            drop(stay);
            match core.concluded(id, result) {
                Ok(Some(_)) => {}
                // Its last run has not quite ended.
                Ok(None) => core.keeper.try_again(),
                Err(error) => {
                    tracing::warn!(flow = %id, %error, "a flow did not go on; trying again later");
                    core.keeper.try_again();
                }
            }
        });
        if let Err(error) = pushed {
            tracing::debug!(flow = %id, %error, "a flow is left to the next host");
        }
    }

    /// Sets a flow aside that cannot be recovered. Returns `None` if another process or thread was faster.
    pub(super) fn concluded(
        &self,
        id: FlowId,
        result: Result<End, HostError>,
    ) -> Result<Option<Recovered>, HostError> {
        let outcome = match result {
            Ok(end) => Ok(end),
            Err(HostError::CannotTakeUp { reason, .. }) => Err(reason),
            Err(HostError::Store(StoreError::Damaged { reason, .. })) => {
                Err(format!("its journal is damaged: {reason}"))
            }
            Err(HostError::Store(error @ StoreError::UnknownTable { .. })) => {
                Err(error.to_string())
            }
            Err(error) if error.is_anothers() => return Ok(None),
            Err(error) => return Err(error),
        };
        if let Err(reason) = &outcome {
            tracing::warn!(flow = %id, reason, "a flow cannot be recovered, and is set aside");
            self.store.set_aside(id, reason)?;
        }
        Ok(Some(Recovered { id, outcome }))
    }

    /// Recovers one flow, in a worker.
    fn take_up_then(
        self: &Arc<Self>,
        id: FlowId,
        how: Option<How>,
        then: impl FnOnce(Result<Report, HostError>) + Send + 'static,
    ) {
        let (flow, how) = match self.take_up(id) {
            Ok((flow, on_lost)) => (flow, how.unwrap_or_else(|| Recovery::from(on_lost).into())),
            Err(error) => return then(Err(error)),
        };
        let core = Arc::clone(self);
        let is_refused = how.recovery == Recovery::Rollback && flow.is_past_pivot();
        if flow.goes_forward() && !is_refused {
            flow.operated(how.operated);
        }
        let ended = flow.recover_to_end(how.recovery);
        flow.operated(None);
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
        let result = flow.recover_to_end(Recovery::from(on_lost)).wait();
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

/// How a flow is recovered.
struct How {
    recovery: Recovery,
    /// Says who asked for that.
    operated: Option<Event>,
}

impl From<Recovery> for How {
    fn from(recovery: Recovery) -> Self {
        Self {
            recovery,
            operated: None,
        }
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
pub(super) fn of(report: &Report) -> End {
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
