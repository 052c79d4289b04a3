//! The flows of a scenario, and everything in it that does something to a flow from inside one: tasks, listeners, resumers.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use anyhow::{Context as _, Result};
use cairn::error::{Cause, TaskError};
use cairn::event::{Disposition, FlowState, TaskState};
use cairn::flow::{
    AlreadyRegistered, Finished, Flow, FlowError, FlowNotice, Listener, ListenerError, Resumer, TaskNotice,
};
use cairn::id::TaskId;
use cairn::task::{Context, Outcome, Task, TaskSpec};
use cairn::value::{Object, Value};
use serde_json::json;

use super::format::{Action, ActionKind, Behaviour, FinishedSpec, ListenerSpec, On, Raise, ResumerSpec, Synth};
use super::names;
use super::probe::Run;
use super::record::{self, flow_exception};

/// The flows of one scenario. What acts on them from inside knows them only as long as they are on stage.
#[derive(Default)]
pub struct Stage {
    run: Arc<Run>,
    flows: Mutex<Vec<(String, Flow)>>,
    callbacks: Mutex<HashMap<String, Arc<Callback>>>,
    /// Registrations for states that nothing here ever has.
    idle: Mutex<HashSet<(String, On, String, *const ()>>,
}
