//! Parses the vector files. An unknown input is an error, because ignoring an instruction would run another scenario
//! than the recorded one. The expected outcomes remain JSON.

mod create;
mod flow;
mod quota;

use std::collections::BTreeMap;

use cairn::id::Phase;
use cairn::{Identity, Object, TaskError, Value};
use serde::{Deserialize, Deserializer};

pub use create::{Create, Request, Zones};
pub use flow::{
    Action, ActionKind, Behaviour, FinishedSpec, FlowCase, FlowOp, FlowSpec, ListenerSpec, On,
    Real, ResumerSpec, Synth, TaskEntry, When,
};
pub use quota::{ExpireSpec, QuotaCase, QuotaOp, QuotaStep};

/// One file.
#[derive(Debug, Deserialize)]
pub struct File {
    /// Version of the format.
    pub format: u32,
    /// The vectors, each parsed when it is run.
    pub vectors: Vec<Value>,
}

/// The fields common to all kinds of vectors.
#[derive(Debug, Deserialize)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// The kind of scenario.
    pub kind: Kind,
    /// The expected outcomes in order, one per request or operation.
    pub expected: Vec<Value>,
}

/// The kinds of scenario.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Requests for volumes.
    Create,
    /// Operations on flows.
    Flow,
    /// Operations on quotas.
    Quota,
}

/// The operator's configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "Cinder's options, by their names")]
pub struct Config {
    pub cloned_volume_same_az: bool,
    pub default_availability_zone: Option<String>,
    pub default_volume_type: Option<String>,
    pub max_age: u64,
    pub no_snapshot_gb_quota: bool,
    pub quota_gigabytes: i64,
    pub quota_snapshots: i64,
    pub quota_volumes: i64,
    pub reservation_expire: u64,
    pub snapshot_same_host: bool,
    pub storage_availability_zone: String,
    pub until_refresh: i64,
    pub use_default_quota_class: bool,
    pub volume_topic: String,
}

impl Default for Config {
    /// Returns Cinder's defaults, for scenarios without a database.
    fn default() -> Self {
        Self {
            cloned_volume_same_az: true,
            default_availability_zone: None,
            default_volume_type: None,
            max_age: 0,
            no_snapshot_gb_quota: false,
            quota_gigabytes: 1000,
            quota_snapshots: 10,
            quota_volumes: 10,
            reservation_expire: 86_400,
            snapshot_same_host: true,
            storage_availability_zone: "nova".to_owned(),
            until_refresh: 0,
            use_default_quota_class: true,
            volume_topic: "cinder-volume".to_owned(),
        }
    }
}

/// The initial rows.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "named after the tables")]
pub struct State {
    pub quota_classes: Vec<Object>,
    pub quotas: Vec<Object>,
    pub quota_usages: Vec<Object>,
    pub reservations: Vec<Object>,
    pub volumes: Vec<Object>,
    pub snapshots: Vec<Object>,
    pub volume_types: Vec<Object>,
    pub encryptions: Vec<Object>,
    pub qos_specs: Vec<Object>,
    pub images: BTreeMap<String, Object>,
}

/// The caller.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    user_id: Option<String>,
    project_id: Option<String>,
    /// `None`: true for callers with the role `admin`.
    is_admin: Option<bool>,
    roles: Vec<String>,
    quota_class: Option<String>,
    read_deleted: ReadDeleted,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum ReadDeleted {
    No,
    Yes,
    Only,
}

impl Caller {
    /// Returns the caller as Cairn represents it, where an admin always has the role `admin`.
    pub fn identity(&self) -> Identity {
        let identity = Identity::new(
            self.user_id.clone().unwrap_or_default(),
            self.project_id.clone().unwrap_or_default(),
        );
        let mut identity = match self.is_admin {
            None => identity.with_roles(&self.roles),
            Some(is_admin) => {
                let identity = Identity {
                    roles: self.roles.clone(),
                    ..identity
                };
                if is_admin {
                    identity.into_admin()
                } else {
                    identity
                }
            }
        };
        identity.quota_class.clone_from(&self.quota_class);
        identity.read_deleted = self.read_deleted != ReadDeleted::No;
        identity
    }
}

/// An injected fault.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The target that fails, by its name in Cinder.
    pub target: String,
    /// The exception that it raises.
    pub raise: Raise,
    /// The phase: when a task runs, when it is reverted, or both.
    #[serde(default)]
    pub phase: FaultPhase,
    /// The timing: instead of the real operation, or after it.
    #[serde(default)]
    pub timing: Timing,
    /// Fires only at this call of the target in this phase, counted from 1.
    pub nth: Option<u32>,
}

/// The phase in which a fault fires.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "as the vectors name them")]
pub enum FaultPhase {
    #[default]
    Any,
    Run,
    Revert,
}

impl FaultPhase {
    /// Returns whether `phase` is included.
    pub fn is(self, phase: Phase) -> bool {
        match self {
            Self::Any => true,
            Self::Run => phase == Phase::Call,
            Self::Revert => phase == Phase::Revert,
        }
    }
}

/// The timing of a fault.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    /// The real operation is not executed.
    #[default]
    Before,
    /// The real operation is executed, and then the fault fires.
    After,
}

/// An exception that is raised.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raise {
    /// Its class.
    pub class: String,
    #[serde(default)]
    message: Option<String>,
    /// The arguments of its constructor.
    #[serde(default, deserialize_with = "some")]
    kwargs: Option<Value>,
}

fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Raise {
    /// Converts the exception to a task's error.
    pub fn error(&self) -> TaskError {
        let message = self
            .message
            .clone()
            .unwrap_or_else(|| format!("injected {}", self.class));
        TaskError {
            details: self.kwargs.clone().unwrap_or_default(),
            ..TaskError::new(&self.class, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn caller(value: Value) -> Identity {
        serde_json::from_value::<Caller>(value).unwrap().identity()
    }

    #[test]
    fn an_admin_holds_the_role_from_the_start() {
        let admin = json!({"user_id": "u", "project_id": null, "is_admin": true, "roles": [], "quota_class": null, "read_deleted": "yes"});
        let admin = caller(admin);
        assert!(admin.is_admin && admin.read_deleted);
        assert_eq!(
            (admin.roles, admin.project_id),
            (vec!["admin".to_owned()], String::new())
        );
    }

    #[test]
    fn a_caller_with_admin_false_is_no_admin_whatever_its_roles() {
        let roles = json!({"user_id": "u", "project_id": "p", "is_admin": false, "roles": ["admin"], "quota_class": null, "read_deleted": "no"});
        assert!(!caller(roles.clone()).is_admin);
        let mut derived = roles;
        derived["is_admin"] = Value::Null;
        assert!(caller(derived).is_admin);
    }

    #[test]
    fn an_unknown_instruction_is_an_error() {
        let fault = json!({"target": "az_check", "raise": {"class": "E"}, "sometimes": true});
        assert!(serde_json::from_value::<Fault>(fault).is_err());
        let op = json!({"op": "explode"});
        assert!(serde_json::from_value::<FlowOp>(op).is_err());
    }
}
