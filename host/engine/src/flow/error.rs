use cairn_effects::event::FlowState;
use cairn_effects::net::Left;
use cairn_model::error::{Cause, TaskError};
use cairn_model::id::TaskId;
use cairn_store::StoreError;

/// The error of an operation on a flow.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// The operation is not allowed in this state.
    #[error("`{operation}` is not allowed while the flow is {state}{}", if *.inside { " and runs" } else { "" })]
    InvalidState {
        /// The operation.
        operation: &'static str,
        /// The flow's state.
        state: FlowState,
        /// Whether the flow was in the middle of `run` or `rollback`.
        inside: bool,
    },
    /// The flow has effects that are not undone; roll it back first.
    #[error("the flow has effects that are not undone: roll it back first")]
    EffectsStand,
    /// A reset would forget that tasks of the flow could not be reverted.
    #[error("the flow's rollback is incomplete: roll it back again, or accept it as it is, first")]
    Unreverted,
    /// A reset would forget what the flow's rollback left.
    #[error("the flow's rollback left {}, which a reset would forget", named(.0))]
    Left(Vec<Left>),
    /// The flow has passed its pivot: it removed an object that nothing brings back.
    #[error(
        "the flow has passed its pivot, and only goes forward: it is tried again until it succeeds, or an operator ends it with `--accept`"
    )]
    PastPivot,
    /// There is no incomplete rollback to be accepted.
    #[error("the flow's rollback is not incomplete: there is nothing to accept")]
    NothingToAccept,
    /// No task of the flow has this id.
    #[error("no task {0} in this flow")]
    UnknownTask(TaskId),
    /// A signal was refused.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// A required input has no provider.
    #[error(transparent)]
    MissingDependencies(TaskError),
    /// A task failed, and the flow was rolled back.
    #[error("{0}")]
    Failed(Box<Cause>),
    /// The store failed: the flow's last changes are lost, or cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a signal was refused; nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignalError {
    /// No wait of the flow asks for it.
    #[error("no wait of this flow asks for the signal `{}`{}", name.escape_debug(), asked(known))]
    Unknown {
        /// Its name.
        name: String,
        /// The signals that waits of the flow ask for.
        known: Vec<String>,
    },
    /// Its payload is not an object.
    #[error("a signal's payload is a JSON object, such as {{\"by\": \"ann\"}}")]
    NotAnObject,
    /// Its payload lacks a name that the wait provides to later tasks.
    #[error("the signal's payload lacks `{missing}`, which later tasks need")]
    Lacks {
        /// The name.
        missing: String,
    },
    /// The flow has a signal of that name with another payload.
    #[error("the flow has the signal `{0}` already, with another payload")]
    Other(String),
    /// The flow has ended, or is rolled back.
    #[error("the flow waits for nothing any more: it is {0}")]
    Over(FlowState),
}

/// Lists the signals that a flow knows.
fn asked(known: &[String]) -> String {
    match known {
        [] => ", which waits for no signal".to_owned(),
        known => format!("; it knows `{}`", known.join("`, `")),
    }
}

/// Names the first object that is left, and counts the others.
fn named(left: &[Left]) -> String {
    let Some(first) = left.first() else {
        return "nothing".to_owned();
    };
    let first_one = format!("{} `{}`", first.kind, first.id);
    match left.len() {
        1 => first_one,
        more => format!("{first_one} and {} more", more - 1),
    }
}
