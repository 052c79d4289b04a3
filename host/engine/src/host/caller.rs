//! Who is told what becomes of flows.

use cairn_effects::report::Report;
use cairn_model::id::FlowId;

use super::HostError;

/// A callback that receives the outcome of a request.
pub(super) type Tell = Box<dyn FnOnce(Result<Report, HostError>) + Send>;

/// A callback that is told once which flow a request became, while that flow has not ended.
pub(super) type Note = Box<dyn FnOnce(FlowId) + Send>;

/// Who is told what becomes of a flow that runs here.
pub(super) struct Caller {
    pub(super) tell: Tell,
    /// Told when the creation of the flow is on disk.
    pub(super) note: Option<Note>,
    /// Whether it waits while the flow sleeps, or rests until its partition is given back.
    pub(super) waits: bool,
}

impl Caller {
    pub(super) fn waiting(tell: Tell) -> Self {
        Self {
            tell,
            note: None,
            waits: true,
        }
    }

    /// Returns a caller that is told as well when the flow falls asleep, or rests.
    pub(super) fn passing(tell: Tell) -> Self {
        Self {
            waits: false,
            ..Self::waiting(tell)
        }
    }
}
