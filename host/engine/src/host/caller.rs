//! Who is told what becomes of flows.

use cairn_effects::report::Report;

use super::HostError;

/// A callback that receives the outcome of a request.
pub(super) type Tell = Box<dyn FnOnce(Result<Report, HostError>) + Send>;

/// Who is told what becomes of a flow that runs here.
pub(super) struct Caller {
    pub(super) tell: Tell,
    /// Whether it waits while the flow sleeps, or rests until its partition is given back.
    pub(super) waits: bool,
}

impl Caller {
    pub(super) fn waiting(tell: Tell) -> Self {
        Self { tell, waits: true }
    }
}
