//! Interrupts a flow, and returns it to PENDING.

use cairn_effects::event::{Event, FlowState};
use cairn_effects::history::History;

use super::{Flow, FlowError};

impl Flow {
    /// Interrupts the flow: the running task finishes and the next one does not start. Has no effect while the flow reverts.
    ///
    /// # Errors
    /// [`FlowError::InvalidState`] when it has not started or has ended.
    pub fn interrupt(&self) -> Result<(), FlowError> {
        self.interrupt_for(None)
    }

    /// Interrupts the flow as [`interrupt`](Self::interrupt) does, with the event that says who asked for it.
    pub(crate) fn interrupt_for(&self, operated: Option<Event>) -> Result<(), FlowError> {
        use FlowState::{
            Failure, Interrupted, Pending, Resuming, Reverting, Running, Started, Success,
        };
        let from = {
            let mut live = self.0.live();
            let state = live.history.state;
            match state {
                Pending | Success | Failure => return Err(live.invalid("interrupt")),
                Reverting | Interrupted => return Ok(()),
                Started | Resuming | Running => {}
            }
            let interrupted = Event::State {
                from: state,
                to: Interrupted,
            };
            self.record(
                &mut live,
                operated.into_iter().chain([interrupted]).collect(),
            )?;
            state
        };
        self.0.interrupted.notify_all();
        self.tell_flow(Interrupted, from);
        Ok(())
    }

    /// Returns an interrupted flow to PENDING, so that it continues where it stopped.
    ///
    /// # Errors
    /// [`FlowError::InvalidState`] in any other state.
    pub fn soft_reset(&self) -> Result<(), FlowError> {
        {
            let mut live = self.0.live();
            if live.history.state != FlowState::Interrupted {
                return Err(live.invalid("soft_reset"));
            }
            self.record(
                &mut live,
                vec![Event::State {
                    from: FlowState::Interrupted,
                    to: FlowState::Pending,
                }],
            )?;
        }
        self.tell_flow(FlowState::Pending, FlowState::Interrupted);
        Ok(())
    }

    /// Resets the flow: drops results, accumulator, listeners, resumer and facts, and keeps its tasks.
    /// Effects that a success or a rollback left remain, and every later verdict names them.
    ///
    /// # Errors
    /// [`FlowError::InvalidState`] inside `run`; [`FlowError::EffectsStand`] when an interrupted or failed flow has
    /// effects that were not undone.
    pub fn reset(&self) -> Result<(), FlowError> {
        self.reset_when(|history| match history.state {
            FlowState::Interrupted | FlowState::Failure if history.effects_stand() => {
                Err(FlowError::EffectsStand)
            }
            _ => Ok(()),
        })
    }

    /// Resets a flow that left nothing, so that no remaining effect is forgotten; otherwise as [`reset`](Self::reset).
    ///
    /// # Errors
    /// Besides those of [`reset`](Self::reset): [`FlowError::EffectsStand`] in every state; [`FlowError::Unreverted`] when the
    /// rollback is incomplete and not accepted; [`FlowError::Left`] when it left something.
    pub fn reset_clean(&self) -> Result<(), FlowError> {
        self.reset_when(|history| {
            if history.effects_stand() {
                return Err(FlowError::EffectsStand);
            }
            if history.is_incomplete() {
                return Err(FlowError::Unreverted);
            }
            let left = history.left();
            match left.is_empty() {
                true => Ok(()),
                false => Err(FlowError::Left(left)),
            }
        })
    }

    fn reset_when(
        &self,
        allowed: impl FnOnce(&History) -> Result<(), FlowError>,
    ) -> Result<(), FlowError> {
        use FlowState::{
            Failure, Interrupted, Pending, Resuming, Reverting, Running, Started, Success,
        };
        let mut live = self.outside("reset")?;
        let state = live.history.state;
        match state {
            Started | Resuming | Running | Reverting => return Err(live.invalid("reset")),
            Interrupted | Failure | Pending | Success => allowed(&live.history)?,
        }
        if live.journalled {
            let mut events = vec![Event::Reset];
            if state != Pending {
                events.push(Event::State {
                    from: state,
                    to: Pending,
                });
            }
            self.record(&mut live, events)?;
        }
        // Listeners are removed too, so none is notified of a reset.
        self.0.flow_notifier.clear();
        self.0.task_notifier.clear();
        live.resumer = None;
        live.left_off = false;
        live.started.clear();
        Ok(())
    }
}
