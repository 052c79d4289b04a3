//! The vectors as their files hold them. An input that nobody here knows is an error: to pass over an instruction would be
//! to run another scenario than the one that was recorded. What is expected stays JSON.

use std::collections::BTreeMap;

use cairn::error::TaskError;
use cairn::id::{Identity, Phase};
use cairn::value::{Object, Value};
use serde::{Deserialize, Deserializer};

/// One file.
#[derive(Debug, Deserialize)]
pub struct File {
    /// Version of the format.
    pub format: u32,
    /// The vectors, each read when it is run.
    pub vectors: Vec<Value>,
}

/// What a vector is, whatever its kind.
#[derive(Debug, Deserialize)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Which of the three kinds of scenario it is.
    pub kind: Kind,
    /// What must come out, in order: one outcome a request or operation.
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

/// A scenario of requests for volumes.
#[derive(Debug, Deserialize)]
pub struct Create {
    /// What the operator set.
    pub config: Config,
    /// What is there at first.
    pub state: State,
    /// Who may do what.
    pub policy: Object,
    /// The callers, by name.
    pub contexts: BTreeMap<String, Caller>,
    /// What they ask.
    pub requests: Vec<Request>,
}

/// One request for a volume.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Name of the caller.
    pub context: String,
    /// The request, as the flow takes it.
    pub create_what: Object,
    /// The zones that are valid; all of them when `None`.
    pub az_check: Option<Zones>,
    /// How long after the request before it comes.
    #[serde(default)]
    pub advance_seconds: u64,
    /// What fails on the way.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Stands in for the scenario's policy, for this request.
    pub policy: Option<Object>,
}

/// The zones that a check lets pass.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zones {
    /// Their names.
    pub valid: Vec<String>,
}

/// A scenario of operations on flows.
#[derive(Debug, Deserialize)]
pub struct FlowCase {
    /// The flows, parents first; the last one is the one that is meant.
    pub flows: Vec<FlowSpec>,
    /// What is done to them.
    pub ops: Vec<FlowOp>,
    /// What the operator set.
    #[serde(default)]
    pub config: Config,
    /// The caller; with one, the database is compared too.
    pub context: Option<Caller>,
    /// What is there at first.
    #[serde(default)]
    pub state: State,
    /// What fails on the way.
    #[serde(default)]
    pub faults: Vec<Fault>,
}

/// One flow.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowSpec {
    /// Its name.
    pub name: String,
    /// Names of the flows that are rolled back with it.
    #[serde(default)]
    pub parents: Vec<String>,
    /// Its tasks.
    pub tasks: Vec<TaskEntry>,
    /// Who is told of its states.
    #[serde(default)]
    pub listeners: Vec<ListenerSpec>,
    /// Who knows of finished tasks.
    pub resumer: Option<ResumerSpec>,
}

/// One task.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum TaskEntry {
    /// One that the vector defines.
    Synth(Synth),
    /// One of Cinder's.
    Real(Real),
}

/// A task of Cinder's.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Real {
    /// `InjectTask`.
    Inject {
        /// What it gives to the flow.
        what: Object,
    },
    /// Another one.
    Cinder {
        /// Its class.
        class: String,
    },
}

/// A task that a vector defines.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Synth {
    /// Says that it is one, where it says so.
    #[serde(default, rename = "kind")]
    _kind: SynthKind,
    /// Its name.
    pub name: String,
    /// Inputs it must have.
    #[serde(default)]
    pub requires: Vec<String>,
    /// Inputs it may have.
    #[serde(default)]
    pub optional: Vec<String>,
    /// Names it provides.
    #[serde(default)]
    pub provides: Vec<String>,
    /// Major, minor.
    #[serde(default = "first_version")]
    pub version: (u32, u32),
    /// What each call does; the last entry repeats.
    #[serde(default)]
    pub calls: Vec<Behaviour>,
    /// What its revert does.
    pub revert: Option<Behaviour>,
    /// It has no revert of its own.
    #[serde(default)]
    pub no_revert: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SynthKind {
    #[default]
    Synth,
}

fn first_version() -> (u32, u32) {
    (1, 0)
}

/// What one call does, in this order: actions, then a result or an error.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Behaviour {
    /// What it does to flows.
    #[serde(default)]
    pub actions: Vec<Action>,
    /// What it fails with.
    pub raise: Option<Raise>,
    /// What it returns.
    #[serde(default, rename = "return")]
    pub result: Value,
    /// It returns its inputs.
    #[serde(default)]
    pub return_echo: bool,
}

/// Something done to a flow from inside a task or a listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// The operation.
    pub action: ActionKind,
    /// The flow.
    pub flow: String,
    /// Whether its error becomes the task's.
    #[serde(default)]
    pub propagate: bool,
}

/// The operations that take nothing but a flow.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "named after the operations")]
pub enum ActionKind {
    Run,
    Interrupt,
    SoftReset,
    Reset,
}

impl ActionKind {
    /// The operation as the vectors write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Interrupt => "interrupt",
            Self::SoftReset => "soft_reset",
            Self::Reset => "reset",
        }
    }
}

/// Somebody who is told of states.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerSpec {
    /// Its name.
    pub name: String,
    /// Whose states.
    pub on: On,
    /// Which state; `*` is every one.
    pub state: String,
    /// When it acts; it is told anyway.
    #[serde(default)]
    pub when: When,
    /// What it does to flows.
    #[serde(default)]
    pub actions: Vec<Action>,
    /// What it fails with.
    pub raise: Option<Raise>,
    /// It is the same callback as the one of this name.
    pub same_as: Option<String>,
}

impl ListenerSpec {
    /// What names a registration: who is told of what.
    pub fn registration(name: String, on: On, state: String) -> Self {
        Self {
            name,
            on,
            state,
            when: When::default(),
            actions: Vec::new(),
            raise: None,
            same_as: None,
        }
    }
}

/// Whose states somebody is told of.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// The flow's.
    Flow,
    /// Its tasks'.
    Task,
}

/// When a listener acts: always, or when everything that stands here holds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// The task is this one.
    pub task: Option<String>,
    /// The state is this one.
    pub state: Option<String>,
}

/// Somebody who knows of finished tasks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumerSpec {
    /// The tasks.
    pub finished: Vec<FinishedSpec>,
    /// What asking fails with.
    pub raise: Option<Raise>,
}

/// A task that a resumer names.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinishedSpec {
    /// Its name.
    pub task: String,
    /// The states it went through; success when there are none.
    #[serde(default)]
    pub states: Vec<String>,
    /// What it returned, or failed with.
    #[serde(default)]
    pub result: Value,
}

/// An operation on a flow; on the last one where it names none.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "named after the operations and their arguments"
)]
pub enum FlowOp {
    Run {
        flow: Option<String>,
    },
    Interrupt {
        flow: Option<String>,
    },
    SoftReset {
        flow: Option<String>,
    },
    Reset {
        flow: Option<String>,
    },
    Add {
        flow: Option<String>,
        task: TaskEntry,
    },
    AddMany {
        flow: Option<String>,
        tasks: Vec<TaskEntry>,
    },
    Remove {
        flow: Option<String>,
        task: String,
    },
    Rollback {
        flow: Option<String>,
        #[serde(default)]
        cause: Value,
    },
    Register {
        flow: Option<String>,
        listener: ListenerSpec,
    },
    Deregister {
        flow: Option<String>,
        name: String,
        on: On,
        state: String,
    },
    AttachRecorder {
        flow: Option<String>,
    },
}

impl FlowOp {
    /// Name of the flow, where the operation names one.
    pub fn flow(&self) -> Option<&str> {
        match self {
            Self::Run { flow }
            | Self::Interrupt { flow }
            | Self::SoftReset { flow }
            | Self::Reset { flow }
            | Self::Add { flow, .. }
            | Self::AddMany { flow, .. }
            | Self::Remove { flow, .. }
            | Self::Rollback { flow, .. }
            | Self::Register { flow, .. }
            | Self::Deregister { flow, .. }
            | Self::AttachRecorder { flow } => flow.as_deref(),
        }
    }
}

/// A scenario of operations on quotas.
#[derive(Debug, Deserialize)]
pub struct QuotaCase {
    /// What the operator set.
    pub config: Config,
    /// What is there at first.
    pub state: State,
    /// The callers, by name.
    pub contexts: BTreeMap<String, Caller>,
    /// What they do.
    pub ops: Vec<QuotaStep>,
}

/// One operation on quotas, and who does it.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Object")]
pub struct QuotaStep {
    /// Name of the caller.
    pub context: String,
    /// What fails on the way.
    pub faults: Vec<Fault>,
    /// The operation.
    pub op: QuotaOp,
}

impl TryFrom<Object> for QuotaStep {
    type Error = serde_json::Error;

    fn try_from(mut step: Object) -> Result<Self, Self::Error> {
        let context = step.remove("context").unwrap_or_default();
        let faults = step
            .remove("faults")
            .unwrap_or_else(|| Value::Array(Vec::new()));
        // The layer of the original that was asked; there is one here.
        step.remove("via");
        Ok(Self {
            context: serde_json::from_value(context)?,
            faults: serde_json::from_value(faults)?,
            op: serde_json::from_value(Value::Object(step))?,
        })
    }
}

/// An operation on quotas.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "named after the operations and their arguments"
)]
pub enum QuotaOp {
    Reserve {
        deltas: BTreeMap<String, i64>,
        expire: Option<ExpireSpec>,
        project_id: Option<String>,
    },
    Commit {
        reservations: Vec<String>,
        project_id: Option<String>,
    },
    Rollback {
        reservations: Vec<String>,
        project_id: Option<String>,
    },
    Expire,
    GetProjectQuotas {
        project_id: String,
        quota_class: Option<String>,
        #[serde(default = "yes")]
        defaults: bool,
        #[serde(default = "yes")]
        usages: bool,
    },
    GetClassQuotas {
        quota_class: String,
        #[serde(default = "yes")]
        defaults: bool,
    },
    GetDefaults,
    ResourceNames,
    Contains {
        resource: String,
    },
    DestroyAllByProject {
        project_id: String,
    },
    AddVolumeTypeOpts {
        opts: Object,
        volume_type_id: Option<String>,
    },
    Advance {
        seconds: u64,
    },
    InsertVolume {
        row: Object,
    },
    DeleteVolume {
        #[serde(alias = "volume_id")]
        id: String,
    },
    SetQuota {
        project_id: String,
        resource: String,
        hard_limit: Option<i64>,
    },
}

fn yes() -> bool {
    true
}

/// When a reservation lapses.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpireSpec {
    /// This long from now; may be past.
    Seconds(i64),
    /// The same.
    TimedeltaSeconds(i64),
    /// The same, given as a point in time.
    AtSecondsFromNow(i64),
}

/// What the operator set.
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
    /// Cinder's defaults, for scenarios without a database.
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

/// The rows that are there at first.
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

/// Who asks.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    user_id: Option<String>,
    project_id: Option<String>,
    /// `None`: whoever has the role `admin` is one.
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
    /// The caller as Cairn knows it: an admin holds the role `admin` from the start.
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

/// Something that fails.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What fails, by the name it has in Cinder.
    pub target: String,
    /// What it fails with.
    pub raise: Raise,
    /// When a task runs, when it is reverted, or both.
    #[serde(default)]
    pub phase: FaultPhase,
    /// Instead of the real thing, or after it.
    #[serde(default)]
    pub timing: Timing,
    /// Only this call of the target in this phase, counted from 1.
    pub nth: Option<u32>,
}

/// When something fails.
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
    /// Whether it is meant in `phase`.
    pub fn is(self, phase: Phase) -> bool {
        match self {
            Self::Any => true,
            Self::Run => phase == Phase::Call,
            Self::Revert => phase == Phase::Revert,
        }
    }
}

/// How something fails.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    /// The real thing is not done.
    #[default]
    Before,
    /// The real thing is done, and then it fails.
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
    /// What it is made with.
    #[serde(default, deserialize_with = "some")]
    kwargs: Option<Value>,
}

fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Raise {
    /// The same as a task's error.
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
    fn whoever_is_said_to_be_no_admin_is_none_whatever_the_roles_say() {
        let roles = json!({"user_id": "u", "project_id": "p", "is_admin": false, "roles": ["admin"], "quota_class": null, "read_deleted": "no"});
        assert!(!caller(roles.clone()).is_admin);
        let mut derived = roles;
        derived["is_admin"] = Value::Null;
        assert!(caller(derived).is_admin);
    }

    #[test]
    fn an_instruction_that_nobody_knows_is_an_error() {
        let fault = json!({"target": "az_check", "raise": {"class": "E"}, "sometimes": true});
        assert!(serde_json::from_value::<Fault>(fault).is_err());
        let op = json!({"op": "explode"});
        assert!(serde_json::from_value::<FlowOp>(op).is_err());
    }
}
