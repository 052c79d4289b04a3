//! Holds the flows of a scenario, and executes operations on them, from outside and from inside tasks and listeners.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn::flow::AlreadyRegistered;
use cairn::{Flow, FlowError, TaskError, Value};
use serde_json::json;

use super::format::{Action, ActionKind, ListenerSpec};
use super::listener::Callbacks;
use super::names;
use super::probe::Run;
use super::record::{self, flow_exception};

/// The flows of one scenario. Tasks and listeners hold the stage by weak references, so that it can be dropped.
#[derive(Default)]
pub struct Stage {
    /// The state shared by all tasks.
    pub run: Arc<Run>,
    flows: Mutex<Vec<(String, Flow)>>,
    callbacks: Mutex<Callbacks>,
}

impl Stage {
    /// Creates a stage without flows.
    pub fn new(run: Arc<Run>) -> Arc<Self> {
        Arc::new(Self {
            run,
            ..Self::default()
        })
    }

    fn callbacks(&self) -> MutexGuard<'_, Callbacks> {
        self.callbacks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns every flow with its name, in the order of their creation.
    pub fn flows(&self) -> Vec<(String, Flow)> {
        self.flows
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Returns the flow of this name.
    pub fn flow(&self, name: &str) -> Option<Flow> {
        let flows = self.flows();
        flows
            .into_iter()
            .find(|(known, _)| known == name)
            .map(|(_, flow)| flow)
    }

    /// Adds a flow, and records the errors of its reverts from now on.
    ///
    /// # Errors
    /// Never: the listener is a new one.
    pub fn enter(&self, name: &str, flow: Flow) -> Result<(), AlreadyRegistered> {
        record::observe(&self.run, &flow, name)?;
        self.flows
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((name.to_owned(), flow));
        Ok(())
    }

    /// Executes an operation on a flow.
    ///
    /// # Errors
    /// The reset dropped our own listener too.
    pub fn act(&self, action: ActionKind, name: &str, flow: &Flow) -> Result<(), FlowError> {
        match action {
            ActionKind::Run => flow.run(),
            ActionKind::Interrupt => flow.interrupt(),
            ActionKind::SoftReset => flow.soft_reset(),
            ActionKind::Reset => {
                flow.reset()?;
                self.callbacks().forget(name);
                // The reset dropped our own listener too.
                record::observe(&self.run, flow, name).expect("the listener is a new one");
                Ok(())
            }
        }
    }

    /// Executes operations on flows from inside a task or a listener, and records their results.
    ///
    /// # Errors
    /// The first error that is to be propagated.
    pub fn perform(&self, actions: &[Action]) -> Result<(), TaskError> {
        for action in actions {
            let Some(flow) = self.flow(&action.flow) else {
                return Err(TaskError::new(
                    "NoSuchFlow",
                    format!("no flow is called `{}`", action.flow),
                ));
            };
            let result = self.act(action.action, &action.flow, &flow);
            let outcome = match &result {
                Ok(()) => json!({"returned": null}),
                Err(error) => json!({"exception": flow_exception(error)}),
            };
            self.run.recorder.event(json!([
                "action",
                action.action.as_str(),
                action.flow,
                outcome
            ]));
            if let (Err(error), true) = (result, action.propagate) {
                let class = flow_exception(&error)["class"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                return Err(TaskError::new(class, error.to_string()));
            }
        }
        Ok(())
    }

    /// Registers a listener.
    ///
    /// # Errors
    /// If the same callback is already registered for the same state.
    pub fn register(
        self: &Arc<Self>,
        name: &str,
        flow: &Flow,
        listener: &ListenerSpec,
    ) -> Result<(), AlreadyRegistered> {
        self.callbacks().register(self, name, flow, listener)
    }

    /// Removes a listener. `registration` is its callback name, notifier and state.
    pub fn deregister(&self, name: &str, flow: &Flow, registration: &ListenerSpec) {
        self.callbacks().deregister(name, flow, registration);
    }

    /// Returns state, tasks and results of every flow.
    pub fn summary(&self) -> Value {
        let flows = self.flows().into_iter().map(|(name, flow)| {
            let tasks = flow.tasks();
            let results = tasks.iter().filter_map(|(id, task)| {
                let result = flow.result(*id)?;
                Some(json!({"task": names::task(task), "result": *result}))
            });
            let summary = json!({
                "state": flow.state().as_str(),
                "length": tasks.len(),
                "tasks": tasks.iter().map(|(_, task)| names::task(task)).collect::<Vec<_>>(),
                "results": results.collect::<Vec<_>>(),
                "results_count": flow.results().len(),
            });
            (name, summary)
        });
        Value::Object(flows.collect())
    }
}
