use cairn::{Object, Value};
use serde::Deserialize;

use super::{Caller, Config, Fault, Raise, State};

/// A scenario of operations on flows.
#[derive(Debug, Deserialize)]
pub struct FlowCase {
    /// The flows, parents first; the last one is the subject.
    pub flows: Vec<FlowSpec>,
    /// The operations.
    pub ops: Vec<FlowOp>,
    /// The operator's configuration.
    #[serde(default)]
    pub config: Config,
    /// The caller; if given, the database is compared too.
    pub context: Option<Caller>,
    /// The initial state.
    #[serde(default)]
    pub state: State,
    /// The injected faults.
    #[serde(default)]
    pub faults: Vec<Fault>,
}

/// One flow.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowSpec {
    /// Its name.
    pub name: String,
    /// Names of the flows that are rolled back with it.
    #[serde(default)]
    pub parents: Vec<String>,
    /// Its tasks.
    pub tasks: Vec<TaskEntry>,
    /// Its listeners.
    #[serde(default)]
    pub listeners: Vec<ListenerSpec>,
    /// Its resumer, which knows of finished tasks.
    pub resumer: Option<ResumerSpec>,
}

/// One task.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum TaskEntry {
    /// A task that the vector defines.
    Synth(Box<Synth>),
    /// A task of Cinder.
    Real(Real),
}

/// A task of Cinder.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Real {
    /// `InjectTask`.
    Inject {
        /// The values that it provides to the flow.
        what: Object,
    },
    /// Any other task.
    Cinder {
        /// Its class.
        class: String,
    },
}

/// A task that a vector defines.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Synth {
    /// The marker of this kind, where present.
    #[serde(default, rename = "kind")]
    _kind: SynthKind,
    /// Its name.
    pub name: String,
    /// Required inputs.
    #[serde(default)]
    pub requires: Vec<String>,
    /// Optional inputs.
    #[serde(default)]
    pub optional: Vec<String>,
    /// Provided names.
    #[serde(default)]
    pub provides: Vec<String>,
    /// Major, minor.
    #[serde(default = "first_version")]
    pub version: (u32, u32),
    /// The behaviour of each call; the last entry repeats.
    #[serde(default)]
    pub calls: Vec<Behaviour>,
    /// The behaviour of its revert.
    pub revert: Option<Behaviour>,
    /// It does not implement revert.
    #[serde(default)]
    pub no_revert: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SynthKind {
    #[default]
    Synth,
}

fn first_version() -> (u32, u32) {
    (1, 0)
}

/// The behaviour of one call: first actions, then a result or an error.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Behaviour {
    /// Its operations on flows.
    #[serde(default)]
    pub actions: Vec<Action>,
    /// The error that it raises.
    pub raise: Option<Raise>,
    /// The result that it returns.
    #[serde(default, rename = "return")]
    pub result: Value,
    /// It returns its inputs.
    #[serde(default)]
    pub return_echo: bool,
}

/// An operation on a flow from inside a task or a listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// The operation.
    pub action: ActionKind,
    /// The flow.
    pub flow: String,
    /// Passes the operation's error on as the task's.
    #[serde(default)]
    pub propagate: bool,
}

/// The operations whose only argument is a flow.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "named after the operations")]
pub enum ActionKind {
    Run,
    Interrupt,
    SoftReset,
    Reset,
}

impl ActionKind {
    /// Returns the name of the operation in the vectors.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Interrupt => "interrupt",
            Self::SoftReset => "soft_reset",
            Self::Reset => "reset",
        }
    }
}

/// A listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerSpec {
    /// Its name.
    pub name: String,
    /// The notifier it listens to.
    pub on: On,
    /// The state that it listens for; `*` is every one.
    pub state: String,
    /// The condition of its actions; it is notified in any case.
    #[serde(default)]
    pub when: When,
    /// Its operations on flows.
    #[serde(default)]
    pub actions: Vec<Action>,
    /// The error that it raises.
    pub raise: Option<Raise>,
    /// Uses the same callback as the listener of this name.
    pub same_as: Option<String>,
}

impl ListenerSpec {
    /// Returns the key of a registration: callback name, notifier and state.
    pub fn registration(name: String, on: On, state: String) -> Self {
        Self {
            name,
            on,
            state,
            when: When::default(),
            actions: Vec::new(),
            raise: None,
            same_as: None,
        }
    }
}

/// The notifier that a listener is registered with.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// The flow's.
    Flow,
    /// Its tasks'.
    Task,
}

/// The condition of a listener's actions: every field that is given must match.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// The name of the task.
    pub task: Option<String>,
    /// The state.
    pub state: Option<String>,
}

/// A resumer, which knows of finished tasks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumerSpec {
    /// The tasks.
    pub finished: Vec<FinishedSpec>,
    /// The error that the resumer raises.
    pub raise: Option<Raise>,
}

/// A finished task of a resumer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinishedSpec {
    /// Its name.
    pub task: String,
    /// The states that it passed through; success if empty.
    #[serde(default)]
    pub states: Vec<String>,
    /// Its result or its error.
    #[serde(default)]
    pub result: Value,
}

/// An operation on a flow: the named one, or else the last one.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "named after the operations and their arguments"
)]
pub enum FlowOp {
    Run {
        flow: Option<String>,
    },
    Interrupt {
        flow: Option<String>,
    },
    SoftReset {
        flow: Option<String>,
    },
    Reset {
        flow: Option<String>,
    },
    Add {
        flow: Option<String>,
        task: TaskEntry,
    },
    AddMany {
        flow: Option<String>,
        tasks: Vec<TaskEntry>,
    },
    Remove {
        flow: Option<String>,
        task: String,
    },
    Rollback {
        flow: Option<String>,
        #[serde(default)]
        cause: Value,
    },
    Register {
        flow: Option<String>,
        listener: ListenerSpec,
    },
    Deregister {
        flow: Option<String>,
        name: String,
        on: On,
        state: String,
    },
    AttachRecorder {
        flow: Option<String>,
    },
}

impl FlowOp {
    /// Returns the name of the flow, if the operation names one.
    pub fn flow(&self) -> Option<&str> {
        match self {
            Self::Run { flow }
            | Self::Interrupt { flow }
            | Self::SoftReset { flow }
            | Self::Reset { flow }
            | Self::Add { flow, .. }
            | Self::AddMany { flow, .. }
            | Self::Remove { flow, .. }
            | Self::Rollback { flow, .. }
            | Self::Register { flow, .. }
            | Self::Deregister { flow, .. }
            | Self::AttachRecorder { flow } => flow.as_deref(),
        }
    }
}
