//! Identifiers of flows, tasks and calls, and the identity of callers.

mod context;
mod prefix;
mod span;

pub use context::ContextPart;
pub use prefix::{IdPrefix, NotAPrefix};

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use uuid::{ContextV7, Timestamp, Uuid};

use crate::trace::TraceContext;

/// Creates a UUID of version 7; later ones of this process sort after earlier ones. If the machine's clock is set before 1970,
/// at which [`Uuid::now_v7`] panics, the UUID's time is 1970.
pub fn uuid() -> Uuid {
    static CONTEXT: Mutex<ContextV7> = Mutex::new(ContextV7::new());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap_or_default();
    Uuid::new_v7(Timestamp::from_unix(
        &CONTEXT,
        now.as_secs(),
        now.subsec_nanos(),
    ))
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Creates an id; later ids sort after earlier ones.
            #[expect(clippy::new_without_default, reason = "an id is made, not defaulted")]
            pub fn new() -> Self {
                Self(uuid())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id! {
    /// The id of a flow.
    FlowId
}

impl FlowId {
    /// Returns the least id that a flow can have that is made at `time` or later. It is compared with ids, and is none itself.
    pub fn least_at(time: crate::clock::Timestamp) -> Self {
        /// The highest time that an id can hold: 48 bits.
        const LATEST: u64 = (1 << 48) - 1;
        let millis = u64::try_from(time.0 / 1000).unwrap_or(0).min(LATEST);
        Self(Uuid::from_u128(u128::from(millis) << 80))
    }
}

uuid_id! {
    /// The id of a task in a flow: returned by `add`, and the key of its result.
    TaskId
}

uuid_id! {
    /// The id of a process that writes flows of a database; each start has a new one.
    HostId
}

/// The function of a task that a call runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The task's `call`.
    Call,
    /// The task's `revert`.
    Revert,
}

/// One attempt of one function of one task. Every effect carries it, so that the store can refuse effects of a closed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CallId {
    /// The flow.
    pub flow: FlowId,
    /// The task in it.
    pub task: TaskId,
    /// The function.
    pub phase: Phase,
    /// Counts from 1 over the life of the flow.
    pub attempt: u32,
}

/// The caller who asks for a flow. Fixed for the life of the flow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Identifies the request in logs and to other services.
    pub request_id: String,
    /// The caller.
    pub user_id: String,
    /// The project that owns what the flow makes.
    pub project_id: String,
    /// The caller's roles, in the caller's order.
    pub roles: Vec<String>,
    /// Whether the caller may see and change objects of other projects.
    pub is_admin: bool,
    /// The quota class that applies to the caller's own project.
    pub quota_class: Option<String>,
    /// Whether soft-deleted rows count as existing, for an admin who repairs data.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_deleted: bool,
    /// The trace that the request belongs to; `None` if it names none, and traces are not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
    /// Where the caller asks from, for the audit of operators' changes, such as `command line, ann@build7`; `None` within a program. A flow
    /// does not keep it.
    #[serde(skip)]
    pub source: Option<Arc<str>>,
}

impl Identity {
    /// Creates a caller without roles.
    pub fn new(user_id: impl Into<String>, project_id: impl Into<String>) -> Self {
        Self {
            request_id: format!("req-{}", uuid()),
            user_id: user_id.into(),
            project_id: project_id.into(),
            ..Self::default()
        }
    }

    /// Sets the roles; the role `admin` makes the caller an admin.
    #[must_use]
    pub fn with_roles(mut self, roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.roles = roles.into_iter().map(Into::into).collect();
        self.is_admin |= self
            .roles
            .iter()
            .any(|role| role.eq_ignore_ascii_case("admin"));
        self
    }

    /// Sets where the caller asks from.
    #[must_use]
    pub fn from_source(mut self, source: impl Into<Arc<str>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Makes the caller an admin with the role `admin`.
    #[must_use]
    pub fn into_admin(mut self) -> Self {
        self.is_admin = true;
        if !self
            .roles
            .iter()
            .any(|role| role.eq_ignore_ascii_case("admin"))
        {
            self.roles.push("admin".to_owned());
        }
        self
    }
}
