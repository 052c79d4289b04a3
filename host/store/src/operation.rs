//! Operations on flows, and the requests by which one process asks another for them.

use serde::{Deserialize, Deserializer, Serialize};

use cairn_effects::event::Event;
use cairn_model::audit::Asker;
use cairn_model::id::FlowId;
use cairn_model::value::Value;

/// An operation on a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Operation {
    /// Stop the flow: its running task finishes, the next one does not start.
    Interrupt,
    /// Continue the flow where it stopped.
    Resume,
    /// Reset the flow to its initial state.
    Reset,
    /// Roll the flow back; stop it first when it runs.
    Rollback {
        /// Why, for the report.
        reason: String,
    },
    /// Give the flow a signal, which a wait of it asks for.
    Signal {
        /// The signal's name.
        name: String,
        /// Its payload, an object.
        payload: Value,
        /// The user who sends it.
        user_id: String,
    },
    /// Accept an incomplete rollback, and close it.
    Accept {
        /// The operator.
        user_id: String,
        /// Why the remaining effects are acceptable.
        reason: String,
    },
}

impl Operation {
    /// Returns the operation's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Interrupt => "interrupt",
            Self::Resume => "resume",
            Self::Reset => "reset",
            Self::Rollback { .. } => "rollback",
            Self::Signal { .. } => "signal",
            Self::Accept { .. } => "accept",
        }
    }

    /// Returns why it is asked for, if it has a reason.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Rollback { reason } | Self::Accept { reason, .. } => Some(reason),
            Self::Interrupt | Self::Resume | Self::Reset | Self::Signal { .. } => None,
        }
    }
}

/// An operation and who asks for it, as requests are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// The operation.
    pub operation: Operation,
    /// Who asks for it; `None` if the host does, or a process of an older version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Asker>,
}

impl<'de> Deserialize<'de> for Asked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Stored {
            Asked {
                operation: Operation,
                #[serde(default)]
                by: Option<Asker>,
            },
            /// As versions before the audit wrote it.
            Bare(Operation),
        }
        Ok(match Stored::deserialize(deserializer)? {
            Stored::Asked { operation, by } => Self { operation, by },
            Stored::Bare(operation) => operation.into(),
        })
    }
}

impl From<Operation> for Asked {
    fn from(operation: Operation) -> Self {
        Self {
            operation,
            by: None,
        }
    }
}

impl Asked {
    /// Returns the event that says who asked.
    pub fn event(&self) -> Option<Event> {
        Some(Event::Operated {
            operation: self.operation.name().to_owned(),
            by: self.by.clone()?,
            reason: self.operation.reason().map(str::to_owned),
        })
    }
}

/// A request for an operation on a flow that another process may own; not answered yet. A flow's own request is a value: see
/// [`flow_request`](crate::flow_request).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRequest {
    /// Its number.
    pub id: i64,
    /// The flow.
    pub flow: FlowId,
    /// What is asked for, and by whom.
    pub asked: Asked,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_older_versions_are_read() {
        let reason = "why".to_owned();
        let rollback = Operation::Rollback { reason };
        for operation in [Operation::Interrupt, rollback] {
            let bare = serde_json::to_string(&operation).unwrap();
            let mut asked = Asked::from(operation);
            assert_eq!(serde_json::from_str::<Asked>(&bare).unwrap(), asked);
            assert_eq!(asked.event(), None);
            asked.by = Some(Asker::new("ann", "test"));
            let text = serde_json::to_string(&asked).unwrap();
            assert_eq!(serde_json::from_str::<Asked>(&text).unwrap(), asked);
        }
    }
}
