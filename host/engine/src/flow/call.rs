use std::sync::Arc;

use cairn_effects::event::{Event, LogLevel};
use cairn_effects::rules::{AnyAnswer, DynEffect, DynLookUp};
use cairn_effects::task::{Context, Unwanted, Wanted};
use cairn_model::error::TaskError;
use cairn_model::id::{CallId, FlowId, Identity, Phase, TaskId};
use cairn_model::value::Value;
use cairn_store::{Caller, Store};

use super::Inner;

/// The [`Context`] of one call: the flow's store, restricted to that call.
pub(super) struct Call {
    pub(super) id: CallId,
    pub(super) flow: Arc<Inner>,
    pub(super) requester: Arc<Identity>,
    pub(super) request: Arc<Value>,
}

impl Call {
    fn caller(&self) -> Caller<'_> {
        Caller {
            call: Some(self.id),
            requester: &self.requester,
        }
    }
}

impl Context for Call {
    fn call(&self) -> CallId {
        self.id
    }

    fn requester(&self) -> &Identity {
        &self.requester
    }

    fn request(&self) -> &Value {
        &self.request
    }

    fn fact(&self, name: &str) -> bool {
        self.flow.live().history.fact(name)
    }

    fn result(&self, name: &str) -> Option<Value> {
        let live = self.flow.live();
        let results = live
            .history
            .tasks
            .iter()
            .rev()
            .filter_map(|task| task.result.as_ref());
        results
            .into_iter()
            .find_map(|result| result.get(name))
            .cloned()
    }

    fn results(&self) -> Vec<(String, Value)> {
        let live = self.flow.live();
        let tasks = live.history.tasks.iter();
        tasks
            .filter_map(|task| Some((task.name.clone(), Value::clone(task.result.as_ref()?))))
            .collect()
    }

    fn apply_dyn(&self, effect: &dyn DynEffect) -> Result<AnyAnswer, TaskError> {
        let mut live = self.flow.live();
        let (answer, applied) = self.flow.store.apply_dyn(self.caller(), effect)?;
        live.history.applied(applied);
        Ok(answer)
    }

    fn checkpoint(&self) -> Result<(), TaskError> {
        if self.id.phase == Phase::Revert {
            let event = Event::Checkpoint {
                task: self.id.task,
                attempt: self.id.attempt,
            };
            let mut live = self.flow.live();
            let at = self
                .flow
                .store
                .post(self.id.flow, &Arc::from([event.clone()]));
            live.history.apply(at, &event);
        }
        Ok(())
    }

    fn look_up_dyn(&self, look_up: &dyn DynLookUp) -> Result<AnyAnswer, TaskError> {
        Ok(self.flow.store.look_up_dyn(self.caller(), look_up)?)
    }

    fn make_external(&self, wanted: &Wanted<'_>) -> Result<Value, TaskError> {
        self.flow.make(self.caller(), self.id, wanted)
    }

    fn remove_external(&self, unwanted: &Unwanted<'_>) -> Result<(), TaskError> {
        self.flow.remove(self.caller(), self.id, unwanted)
    }

    fn log(&self, level: LogLevel, message: String) {
        let CallId { flow, task, .. } = self.id;
        log(&*self.flow.store, flow, task, level, message);
    }
}

/// Writes to the log of a flow.
pub(super) fn log(store: &dyn Store, flow: FlowId, task: TaskId, level: LogLevel, message: String) {
    tracing::debug!(%flow, ?level, message, "plugin");
    let event = Event::Log {
        task,
        level,
        message,
    };
    store.post(flow, &Arc::from([event]));
}

impl Inner {
    pub(super) fn live(&self) -> parking_lot::MutexGuard<'_, super::LiveState> {
        self.live.lock()
    }
}
