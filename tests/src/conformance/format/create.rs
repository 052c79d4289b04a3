use std::collections::BTreeMap;

use cairn::Object;
use serde::Deserialize;

use super::{Caller, Config, Fault, State};

/// A scenario of requests for volumes.
#[derive(Debug, Deserialize)]
pub struct Create {
    /// The operator's configuration.
    pub config: Config,
    /// The initial state.
    pub state: State,
    /// The policy rules.
    pub policy: Object,
    /// The callers, by name.
    pub contexts: BTreeMap<String, Caller>,
    /// The requests.
    pub requests: Vec<Request>,
}

/// One request for a volume.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Name of the caller.
    pub context: String,
    /// The request, as the flow receives it.
    pub create_what: Object,
    /// The zones that are valid; all of them when `None`.
    pub az_check: Option<Zones>,
    /// The time since the previous request.
    #[serde(default)]
    pub advance_seconds: u64,
    /// The injected faults.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Replaces the scenario's policy for this request.
    pub policy: Option<Object>,
}

/// The zones that a check accepts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zones {
    /// Their names.
    pub valid: Vec<String>,
}
