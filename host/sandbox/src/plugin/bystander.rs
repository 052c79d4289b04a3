//! The context of plugins that are called outside of a task.

use cairn_effects::event::LogLevel;
use cairn_effects::rules::{AnyAnswer, DynEffect, DynLookUp};
use cairn_effects::task::Context;
use cairn_model::error::{HostErrorKind, TaskError};
use cairn_model::id::{CallId, FlowId, Identity, Phase, TaskId};
use cairn_model::trace::TraceContext;
use cairn_model::value::Value;

type Log = dyn Fn(LogLevel, String) + Send + Sync;

/// The context of a policy, a validator or an external: the caller, and a log. A plan admits no component there that imports a
/// capability of tasks; it is refused nevertheless.
pub(super) struct Bystander {
    requester: Identity,
    refusal: &'static str,
    log: Box<Log>,
}

impl Bystander {
    /// Creates a context. `refusal` is the error of everything else.
    pub(super) fn new(
        requester: Identity,
        refusal: &'static str,
        log: impl Fn(LogLevel, String) + Send + Sync + 'static,
    ) -> Self {
        Self {
            requester,
            refusal,
            log: Box::new(log),
        }
    }

    fn refused(&self) -> TaskError {
        TaskError::host(HostErrorKind::CallClosed, self.refusal)
    }
}

impl Context for Bystander {
    fn call(&self) -> CallId {
        CallId {
            flow: FlowId(uuid::Uuid::nil()),
            task: TaskId(uuid::Uuid::nil()),
            phase: Phase::Call,
            attempt: 0,
        }
    }

    fn requester(&self) -> &Identity {
        &self.requester
    }

    fn request(&self) -> &Value {
        &Value::Null
    }

    fn trace(&self) -> Option<TraceContext> {
        self.requester.trace
    }

    fn fact(&self, _name: &str) -> bool {
        false
    }

    fn result(&self, _name: &str) -> Option<Value> {
        None
    }

    fn results(&self) -> Vec<(String, Value)> {
        Vec::new()
    }

    fn apply_dyn(&self, _effect: &dyn DynEffect) -> Result<AnyAnswer, TaskError> {
        Err(self.refused())
    }

    fn checkpoint(&self) -> Result<(), TaskError> {
        Ok(())
    }

    fn look_up_dyn(&self, _look_up: &dyn DynLookUp) -> Result<AnyAnswer, TaskError> {
        Err(self.refused())
    }

    fn log(&self, level: LogLevel, message: String) {
        (self.log)(level, message);
    }
}
