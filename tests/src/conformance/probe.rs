//! Wraps a task: the real task does the work, faults are injected between it and the host, and its actions are
//! recorded.

use std::sync::{Arc, Mutex, PoisonError};

use cairn::capability::Enforcer;
use cairn::error::Cause;
use cairn::event::Disposition;
use cairn::policy::{Asks, Policy};
use cairn::rules::{AnyAnswer, DynEffect, DynLookUp};
use cairn::task::{ContextLayer, Outcome};
use cairn::{Context, Identity, Object, Task, TaskError, TaskSpec, Value};

use super::faults::{Faults, Seam};
use super::names::{self, Names};
use super::record::Recorder;
use crate::any::{Answer, Effect};

/// State shared by the tasks of one scenario.
#[derive(Debug, Default)]
pub struct Run {
    /// Names of created rows.
    pub names: Names,
    /// The recorded events.
    pub recorder: Recorder,
    faults: Mutex<Arc<Faults>>,
}

impl Run {
    /// Returns the current faults.
    pub fn faults(&self) -> Arc<Faults> {
        Arc::clone(&self.faults.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the current faults.
    pub fn arm(&self, faults: Faults) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(faults);
    }

    /// Applies an effect through `apply`, unless a fault fires, and names the rows that it creates.
    pub fn apply(
        &self,
        effect: &Effect,
        apply: impl FnOnce() -> Result<AnyAnswer, TaskError>,
    ) -> Result<AnyAnswer, TaskError> {
        self.faults().around(Seam::Effect(effect), || {
            let answer = apply()?;
            self.names.learn(effect, &Answer::of(&answer));
            Ok(answer)
        })
    }
}

/// A task in a flow of a scenario.
pub struct Probe {
    /// The real task.
    pub task: Arc<dyn Task>,
    /// Name of the flow.
    pub flow: String,
    /// The request that this task sees, if it is not the flow's.
    pub request: Option<Value>,
    /// The state shared with the other tasks.
    pub run: Arc<Run>,
}

impl Probe {
    fn name(&self) -> &str {
        names::task(&self.task.spec().name)
    }

    /// Returns the context that the real task receives.
    fn seamed(&self, context: &Arc<dyn Context>) -> Arc<dyn Context> {
        self.run.faults().enter(context.call().phase);
        Arc::new(Seamed {
            context: Arc::clone(context),
            request: self.request.clone(),
            run: Arc::clone(&self.run),
        })
    }
}

impl Task for Probe {
    fn spec(&self) -> &TaskSpec {
        self.task.spec()
    }

    fn call(&self, context: &Arc<dyn Context>, inputs: Object) -> Result<Value, TaskError> {
        let result = self.task.call(&self.seamed(context), inputs);
        if let Err(error) = &result {
            self.run.recorder.failed(&self.flow, self.name(), error);
        }
        result
    }

    fn revert(
        &self,
        context: &Arc<dyn Context>,
        outcome: &Outcome,
        cause: &Cause,
    ) -> Result<Disposition, TaskError> {
        self.run
            .recorder
            .reverting(&self.flow, self.name(), outcome, cause);
        self.task.revert(&self.seamed(context), outcome, cause)
    }
}

/// The host, with injected faults.
struct Seamed {
    context: Arc<dyn Context>,
    request: Option<Value>,
    run: Arc<Run>,
}

impl ContextLayer for Seamed {
    fn below(&self) -> &dyn Context {
        &*self.context
    }

    fn request(&self) -> &Value {
        self.request
            .as_ref()
            .unwrap_or_else(|| self.context.request())
    }

    fn apply_dyn(&self, effect: &dyn DynEffect) -> Result<AnyAnswer, TaskError> {
        self.run
            .apply(&Effect::of(effect), || self.context.apply_dyn(effect))
    }

    fn look_up_dyn(&self, look_up: &dyn DynLookUp) -> Result<AnyAnswer, TaskError> {
        self.run
            .faults()
            .around(Seam::LookUp(look_up), || self.context.look_up_dyn(look_up))
    }
}

/// The real policy, with injected faults. Its rules can be changed between requests.
pub struct SeamedPolicy {
    policy: Mutex<Policy>,
    run: Arc<Run>,
}

impl SeamedPolicy {
    /// Creates a policy with the default rules.
    pub fn new(run: Arc<Run>) -> Self {
        Self {
            policy: Mutex::new(Policy::default()),
            run,
        }
    }

    /// Replaces the rules; the defaults remain as fallback.
    ///
    /// # Errors
    /// If the rules cannot be parsed.
    pub fn set(&self, rules: &Object) -> anyhow::Result<()> {
        let rules = Policy::parse(&Value::Object(rules.clone()).to_string(), None)?;
        *self.policy.lock().unwrap_or_else(PoisonError::into_inner) =
            Policy::default().with(rules)?;
        Ok(())
    }
}

impl Enforcer for SeamedPolicy {
    fn enforce(
        &self,
        requester: &Identity,
        action: &str,
        target: &Object,
        plugins: &dyn Asks,
    ) -> Result<(), TaskError> {
        self.run.faults().around(Seam::Policy, || {
            let policy = self
                .policy
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            policy.enforce(requester, action, target, plugins)
        })
    }
}
