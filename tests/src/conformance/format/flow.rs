use cairn::value::{Object, Value};
use serde::Deserialize;

use super::{Caller, Config, Fault, Raise, State};

/// A scenario of operations on flows.
#[derive(Debug, Deserialize)]
pub struct FlowCase {
    /// The flows, parents first; the last one is the one that is meant.
    pub flows: Vec<FlowSpec>,
    /// What is done to them.
    pub ops: Vec<FlowOp>,
    /// What the operator set.
    #[serde(default)]
    pub config: Config,
    /// The caller; with one, the database is compared too.
    pub context: Option<Caller>,
    /// What is there at first.
    #[serde(default)]
    pub state: State,
    /// What fails on the way.
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
    /// Who is told of its states.
    #[serde(default)]
    pub listeners: Vec<ListenerSpec>,
    /// Who knows of finished tasks.
    pub resumer: Option<ResumerSpec>,
}

/// One task.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum TaskEntry {
    /// One that the vector defines.
    Synth(Box<Synth>),
    /// One of Cinder's.
    Real(Real),
}

/// A task of Cinder's.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Real {
    /// `InjectTask`.
    Inject {
        /// What it gives to the flow.
        what: Object,
    },
    /// Another one.
    Cinder {
        /// Its class.
        class: String,
    },
}

/// A task that a vector defines.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Synth {
    /// Says that it is one, where it says so.
    #[serde(default, rename = "kind")]
    _kind: SynthKind,
    /// Its name.
    pub name: String,
    /// Inputs it must have.
    #[serde(default)]
    pub requires: Vec<String>,
    /// Inputs it may have.
    #[serde(default)]
    pub optional: Vec<String>,
    /// Names it provides.
    #[serde(default)]
    pub provides: Vec<String>,
    /// Major, minor.
    #[serde(default = "first_version")]
    pub version: (u32, u32),
    /// What each call does; the last entry repeats.
    #[serde(default)]
    pub calls: Vec<Behaviour>,
    /// What its revert does.
    pub revert: Option<Behaviour>,
    /// It has no revert of its own.
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

/// What one call does, in this order: actions, then a result or an error.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Behaviour {
    /// What it does to flows.
    #[serde(default)]
    pub actions: Vec<Action>,
    /// What it fails with.
    pub raise: Option<Raise>,
    /// What it returns.
    #[serde(default, rename = "return")]
    pub result: Value,
    /// It returns its inputs.
    #[serde(default)]
    pub return_echo: bool,
}

/// Something done to a flow from inside a task or a listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// The operation.
    pub action: ActionKind,
    /// The flow.
    pub flow: String,
    /// Whether its error becomes the task's.
    #[serde(default)]
    pub propagate: bool,
}

/// The operations that take nothing but a flow.
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
    /// The operation as the vectors write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Interrupt => "interrupt",
            Self::SoftReset => "soft_reset",
            Self::Reset => "reset",
        }
    }
}

/// Somebody who is told of states.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerSpec {
    /// Its name.
    pub name: String,
    /// Whose states.
    pub on: On,
    /// Which state; `*` is every one.
    pub state: String,
    /// When it acts; it is told anyway.
    #[serde(default)]
    pub when: When,
    /// What it does to flows.
    #[serde(default)]
    pub actions: Vec<Action>,
    /// What it fails with.
    pub raise: Option<Raise>,
    /// It is the same callback as the one of this name.
    pub same_as: Option<String>,
}

impl ListenerSpec {
    /// What names a registration: who is told of what.
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

/// Whose states somebody is told of.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// The flow's.
    Flow,
    /// Its tasks'.
    Task,
}

/// When a listener acts: always, or when everything that stands here holds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// The task is this one.
    pub task: Option<String>,
    /// The state is this one.
    pub state: Option<String>,
}

/// Somebody who knows of finished tasks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumerSpec {
    /// The tasks.
    pub finished: Vec<FinishedSpec>,
    /// What asking fails with.
    pub raise: Option<Raise>,
}

/// A task that a resumer names.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinishedSpec {
    /// Its name.
    pub task: String,
    /// The states it went through; success when there are none.
    #[serde(default)]
    pub states: Vec<String>,
    /// What it returned, or failed with.
    #[serde(default)]
    pub result: Value,
}

/// An operation on a flow; on the last one where it names none.
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
    /// Name of the flow, where the operation names one.
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
