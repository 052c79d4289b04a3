//! The audit of operators' changes: who asks for them, and how long it is kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::Identity;

/// The source of what a program asks for itself.
pub const PROGRAM: &str = "program";

/// A person who asks for a change, and from where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// The user.
    pub user_id: String,
    /// Where it was asked for, such as `command line, ann@build7` or `http, 127.0.0.1`.
    pub source: String,
}

impl Asker {
    /// Creates an asker.
    pub fn new(user_id: impl Into<String>, source: impl Into<String>) -> Self {
        Self {
            user_id: user_id.into(),
            source: source.into(),
        }
    }
}

impl From<&Identity> for Asker {
    fn from(identity: &Identity) -> Self {
        Self::new(
            &identity.user_id,
            identity.source.as_deref().unwrap_or(PROGRAM),
        )
    }
}

/// `[audit]`: the operator's settings about the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// How long a change is kept after it was made.
    pub keep: Duration,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            keep: Duration::from_secs(400 * 24 * 3600),
        }
    }
}
