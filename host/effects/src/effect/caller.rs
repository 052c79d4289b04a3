use cairn_model::id::{CallId, Identity};

/// The caller on whose behalf rows are changed or read.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The call of a flow's task; `None` for an operator, who is not limited to the rows of one flow.
    pub call: Option<CallId>,
    /// The requester of the flow, or the operator.
    pub requester: &'a Identity,
}
