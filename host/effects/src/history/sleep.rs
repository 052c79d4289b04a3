//! The sleep of a flow: a wait of its plan, or the pause before another attempt. No process owns a flow that sleeps.

use cairn_model::clock::Timestamp;
use cairn_model::id::TaskId;

use crate::event::{Event, NEVER};

/// Why a flow sleeps, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sleep {
    /// The task: a wait, or the one that is tried again.
    pub task: TaskId,
    /// When the flow is to be woken; [`NEVER`] if only a signal wakes it.
    pub wake_at: Timestamp,
    /// Whether its plan says that it waits. Else a call or revert is tried again.
    pub is_wait: bool,
    /// The signal that ends the wait.
    pub signal: Option<String>,
}

impl Sleep {
    /// Returns when the flow is woken without a signal.
    pub fn until(&self) -> Option<Timestamp> {
        (self.wake_at != NEVER).then_some(self.wake_at)
    }
}

/// Folds an event into the sleep of its flow. The store folds it, too, for the flow's row.
pub fn fold(sleep: &mut Option<Sleep>, event: &Event) {
    match event {
        Event::Waits {
            task,
            signal,
            wake_at,
            ..
        } => {
            *sleep = Some(Sleep {
                task: *task,
                wake_at: wake_at.unwrap_or(NEVER),
                is_wait: true,
                signal: signal.clone(),
            });
        }
        Event::Sleeps { task, wake_at } => {
            *sleep = Some(Sleep {
                task: *task,
                wake_at: *wake_at,
                is_wait: false,
                signal: None,
            });
        }
        Event::Signalled { name, .. } => {
            if let Some(sleep) = sleep
                && sleep.signal.as_ref() == Some(name)
            {
                // At once, also if the clock goes back.
                sleep.wake_at = Timestamp::EARLIEST;
            }
        }
        Event::Operated { .. }
        | Event::Log { .. }
        | Event::CheckLog { .. }
        | Event::Denied { .. }
        | Event::WouldDeny { .. } => {}
        _ => *sleep = None,
    }
}
