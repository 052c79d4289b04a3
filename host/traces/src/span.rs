use cairn_model::clock::Timestamp;
use cairn_model::trace::{SpanId, TraceId};

/// Something that took time in a flow.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The trace of its flow.
    pub trace: TraceId,
    /// Its id, which follows from the flow: a span that two processes send is the same one.
    pub id: SpanId,
    /// The span that it is a part of; `None` of the first one of its trace.
    pub parent: Option<SpanId>,
    /// Whether the parent is a span of another program.
    pub is_entry: bool,
    /// What it is, such as `call quota-reserve`. It holds no id.
    pub name: String,
    /// Its role.
    pub kind: Kind,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// What is known of it, by names that begin with `cairn.`.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Why it failed: the kind of the error, and its message.
    pub error: Option<(String, String)>,
}

/// The role of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A flow, as its client sees it.
    Server,
    /// An act outside the database.
    Client,
    /// Anything within a flow.
    Internal,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u32> for Attribute {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}
