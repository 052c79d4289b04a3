//! Runs the listeners that a vector defines.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use cairn::event::{FlowState, TaskState};
use cairn::flow::{AlreadyRegistered, FlowNotice, Listener, ListenerError, TaskNotice};
use cairn::{Flow, Value};
use serde_json::json;

use super::format::{ListenerSpec, On};
use super::names;
use super::stage::Stage;

/// The callbacks registered in one scenario, by name.
#[derive(Default)]
pub struct Callbacks {
    named: HashMap<String, Arc<Callback>>,
    /// Registrations for states that never occur here: flow, notifier, state, callback.
    idle: HashSet<(String, On, String, String)>,
}

/// One callback, which may be registered for several states. Its identity is that of its `Arc`.
struct Callback {
    spec: ListenerSpec,
    stage: Weak<Stage>,
}

/// The states that a registration covers.
enum For<S> {
    Any,
    One(S),
    /// A state that does not exist here.
    None,
}

fn state<S: Copy>(name: &str, known: &[S], text: fn(S) -> &'static str) -> For<S> {
    match known.iter().find(|state| text(**state) == name) {
        _ if name == "*" => For::Any,
        Some(state) => For::One(*state),
        None => For::None,
    }
}

fn flow_state(name: &str) -> For<FlowState> {
    state(name, &FlowState::ALL, FlowState::as_str)
}

/// Parses a task state; states that only Cairn has are excluded.
fn task_state(name: &str) -> For<TaskState> {
    use TaskState::{Failure, Started, Success};
    state(name, &[Started, Success, Failure], TaskState::as_str)
}

impl Callbacks {
    /// Registers a listener, with a new callback or the one that it shares.
    pub fn register(
        &mut self,
        stage: &Arc<Stage>,
        name: &str,
        flow: &Flow,
        spec: &ListenerSpec,
    ) -> Result<(), AlreadyRegistered> {
        let same = spec.same_as.as_ref().and_then(|same| self.named.get(same));
        let callback = same.cloned().unwrap_or_else(|| {
            Arc::new(Callback {
                spec: spec.clone(),
                stage: Arc::downgrade(stage),
            })
        });
        let registered = match spec.on {
            On::Flow => match flow_state(&spec.state) {
                For::Any => flow.notifier().register(None, Arc::clone(&callback) as _),
                For::One(state) => flow.notifier().register(state, Arc::clone(&callback) as _),
                For::None => self.idle(name, spec, &callback),
            },
            On::Task => match task_state(&spec.state) {
                For::Any => flow
                    .task_notifier()
                    .register(None, Arc::clone(&callback) as _),
                For::One(state) => flow
                    .task_notifier()
                    .register(state, Arc::clone(&callback) as _),
                For::None => self.idle(name, spec, &callback),
            },
        };
        if registered.is_ok() {
            self.named.insert(spec.name.clone(), callback);
        }
        registered
    }

    fn idle(
        &mut self,
        flow: &str,
        spec: &ListenerSpec,
        callback: &Callback,
    ) -> Result<(), AlreadyRegistered> {
        let registration = (
            flow.to_owned(),
            spec.on,
            spec.state.clone(),
            callback.spec.name.clone(),
        );
        if self.idle.insert(registration) {
            Ok(())
        } else {
            Err(AlreadyRegistered)
        }
    }

    /// Removes a listener.
    pub fn deregister(&mut self, name: &str, flow: &Flow, spec: &ListenerSpec) {
        let Some(callback) = self.named.get(&spec.name) else {
            return;
        };
        match spec.on {
            On::Flow => {
                let listener = Arc::clone(callback) as Arc<dyn Listener<FlowNotice>>;
                match flow_state(&spec.state) {
                    For::Any => flow.notifier().deregister(None, &listener),
                    For::One(state) => flow.notifier().deregister(state, &listener),
                    For::None => {}
                }
            }
            On::Task => {
                let listener = Arc::clone(callback) as Arc<dyn Listener<TaskNotice>>;
                match task_state(&spec.state) {
                    For::Any => flow.task_notifier().deregister(None, &listener),
                    For::One(state) => flow.task_notifier().deregister(state, &listener),
                    For::None => {}
                }
            }
        }
        let registration = (
            name.to_owned(),
            spec.on,
            spec.state.clone(),
            callback.spec.name.clone(),
        );
        self.idle.remove(&registration);
    }

    /// Forgets the idle registrations of a flow that was reset.
    pub fn forget(&mut self, flow: &str) {
        self.idle.retain(|(name, ..)| name != flow);
    }
}

impl Callback {
    fn told(&self, state: &str, task: Option<&str>) -> Result<(), ListenerError> {
        let Some(stage) = self.stage.upgrade() else {
            return Ok(());
        };
        let details = json!({"task": task, "args": [], "kwargs": {}});
        stage.run.recorder.event(Value::from(vec![
            "listener".into(),
            self.spec.name.as_str().into(),
            state.into(),
            details,
        ]));
        let when = &self.spec.when;
        let acts = when
            .task
            .as_deref()
            .is_none_or(|wanted| task == Some(wanted))
            && when.state.as_deref().is_none_or(|wanted| state == wanted);
        if acts {
            stage.perform(&self.spec.actions)?;
            if let Some(raise) = &self.spec.raise {
                return Err(raise.error().into());
            }
        }
        Ok(())
    }
}

impl Listener<FlowNotice> for Callback {
    fn notify(&self, notice: &FlowNotice) -> Result<(), ListenerError> {
        self.told(notice.state.as_str(), None)
    }
}

impl Listener<TaskNotice> for Callback {
    fn notify(&self, notice: &TaskNotice) -> Result<(), ListenerError> {
        match notice.state {
            TaskState::Started | TaskState::Success | TaskState::Failure => {
                self.told(notice.state.as_str(), Some(names::task(&notice.name)))
            }
            TaskState::Reverting
            | TaskState::Reverted
            | TaskState::RevertFailed
            | TaskState::Waiting => Ok(()),
        }
    }
}
