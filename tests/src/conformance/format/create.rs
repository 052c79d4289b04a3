use std::collections::BTreeMap;

use cairn::value::Object;
use serde::Deserialize;

use super::{Caller, Config, Fault, State};

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
