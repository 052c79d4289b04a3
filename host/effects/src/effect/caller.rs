use cairn_model::id::{CallId, Identity};

/// On whose behalf something is changed or looked up.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The call of a flow's task; `None` for an operator, who is not confined to what one flow made.
    pub call: Option<CallId>,
    /// Who asked for the flow, or the operator.
    pub requester: &'a Identity,
}
