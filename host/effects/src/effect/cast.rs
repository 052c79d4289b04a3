use cairn_model::value::Value;

/// Send a message to another service, when and only when the flow succeeds.
#[derive(Clone, Debug, PartialEq)]
pub struct Cast {
    /// Who receives it, such as `cinder-scheduler`.
    pub topic: String,
    /// What the receiver is asked to do.
    pub method: String,
    /// With what: one JSON object.
    pub arguments: Value,
}
