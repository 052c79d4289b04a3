use std::sync::Arc;

use parking_lot::Mutex;

use cairn_effects::event::{FlowState, TaskState};
use cairn_model::id::TaskId;
use cairn_model::value::Value;

use crate::flow::Flow;

/// Any error of a listener. It is logged, and has no other effect.
pub type ListenerError = Box<dyn std::error::Error + Send + Sync>;

/// A change of a flow's state.
#[derive(Clone)]
pub struct FlowNotice {
    /// The flow, which the listener may call back.
    pub flow: Flow,
    /// Its new state.
    pub state: FlowState,
    /// Its old state.
    pub old: FlowState,
}

/// A change of a task's state.
#[derive(Clone)]
pub struct TaskNotice {
    /// The flow, which the listener may call back.
    pub flow: Flow,
    /// The task.
    pub task: TaskId,
    /// Its name.
    pub name: Arc<str>,
    /// Its new state.
    pub state: TaskState,
    /// Its result, with [`TaskState::Success`].
    pub result: Option<Arc<Value>>,
    /// Its error, with [`TaskState::Failure`] and [`TaskState::RevertFailed`].
    pub error: Option<cairn_model::error::TaskError>,
}

/// Receives notices, inside the operation that changed the state and outside any lock. Compared by the identity of its `Arc`.
pub trait Listener<N>: Send + Sync {
    /// Handles a notice.
    ///
    /// # Errors
    /// Any; it is logged.
    fn notify(&self, notice: &N) -> Result<(), ListenerError>;
}

impl<N, F> Listener<N> for F
where
    F: Fn(&N) -> Result<(), ListenerError> + Send + Sync,
{
    fn notify(&self, notice: &N) -> Result<(), ListenerError> {
        self(notice)
    }
}

/// The listener is already registered for this state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this listener is registered for this state already; deregister it first")]
pub struct AlreadyRegistered;

/// Listeners and the states for which they are registered.
pub struct Notifier<S, N> {
    listeners: Mutex<Vec<Registration<S, N>>>,
}

struct Registration<S, N> {
    /// `None` means every state.
    state: Option<S>,
    listener: Arc<dyn Listener<N>>,
}

impl<S, N> Default for Notifier<S, N> {
    fn default() -> Self {
        Self {
            listeners: Mutex::new(Vec::new()),
        }
    }
}

impl<S: Copy + PartialEq + std::fmt::Debug, N> Notifier<S, N> {
    /// Registers `listener` for `state`, or for every state with `None`.
    ///
    /// # Errors
    /// [`AlreadyRegistered`] when it is registered for the same state.
    pub fn register(
        &self,
        state: impl Into<Option<S>>,
        listener: Arc<dyn Listener<N>>,
    ) -> Result<(), AlreadyRegistered> {
        let state = state.into();
        let mut listeners = self.lock();
        let same = |other: &Registration<S, N>| {
            other.state == state && Arc::ptr_eq(&other.listener, &listener)
        };
        if listeners.iter().any(same) {
            return Err(AlreadyRegistered);
        }
        listeners.push(Registration { state, listener });
        Ok(())
    }

    /// Deregisters `listener` from `state`. Does nothing if it is not registered for it.
    pub fn deregister(&self, state: impl Into<Option<S>>, listener: &Arc<dyn Listener<N>>) {
        let state = state.into();
        self.lock()
            .retain(|other| other.state != state || !Arc::ptr_eq(&other.listener, listener));
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// Notifies the listeners of every state first, then those of `state`, each once. Creates the notice only if there is a
    /// listener.
    pub(super) fn tell(&self, state: S, notice: impl FnOnce() -> N) {
        let mut told: Vec<Arc<dyn Listener<N>>> = Vec::new();
        {
            let listeners = self.lock();
            let any = listeners.iter().filter(|listener| listener.state.is_none());
            let own = listeners
                .iter()
                .filter(|listener| listener.state == Some(state));
            for Registration { listener, .. } in any.chain(own) {
                if !told.iter().any(|other| Arc::ptr_eq(other, listener)) {
                    told.push(Arc::clone(listener));
                }
            }
        }
        if told.is_empty() {
            return;
        }
        let notice = notice();
        for listener in told {
            let call = std::panic::AssertUnwindSafe(|| listener.notify(&notice));
            match std::panic::catch_unwind(call) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(?state, %error, "a listener failed"),
                Err(_) => tracing::error!(?state, "a listener panicked"),
            }
        }
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, Vec<Registration<S, N>>> {
        self.listeners.lock()
    }
}
