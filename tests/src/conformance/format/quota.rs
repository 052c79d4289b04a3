use std::collections::BTreeMap;

use cairn::{Object, Value};
use serde::Deserialize;

use super::{Caller, Config, Fault, State};

/// A scenario of operations on quotas.
#[derive(Debug, Deserialize)]
pub struct QuotaCase {
    /// The operator's configuration.
    pub config: Config,
    /// The initial state.
    pub state: State,
    /// The callers, by name.
    pub contexts: BTreeMap<String, Caller>,
    /// The operations.
    pub ops: Vec<QuotaStep>,
}

/// One operation on quotas, and its caller.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Object")]
pub struct QuotaStep {
    /// Name of the caller.
    pub context: String,
    /// The injected faults.
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
        // The layer of the original that was called; here there is only one.
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

/// The expiry of a reservation.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpireSpec {
    /// Seconds from now; may be negative.
    Seconds(i64),
    /// The same.
    TimedeltaSeconds(i64),
    /// The same, given as an absolute time.
    AtSecondsFromNow(i64),
}
