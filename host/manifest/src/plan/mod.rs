//! The plan: a manifest whose every plugin was loaded and asked, with the provider of each input.
//!
//! [`Manifest::plan`](crate::manifest::Manifest::plan) makes it, and is pure. A flow stores its plan as JSON, so a plan names tasks and inputs, never positions, and recovery
//! needs neither the manifest nor the components' own files.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use cairn_model::value::{Digest, Object, Value};

use crate::manifest::{Grants, Limits, Mode, OnLost, Retry};

mod descriptor;
mod from_manifest;
mod mermaid;
mod missing;
mod roles;
mod settings;

pub use descriptor::Descriptor;
pub use missing::MissingDependencies;
pub use settings::{Schema, SchemaViolation, SettingsError, check_settings};

/// What the host found out about the plugin of one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspected {
    /// Digest of the component.
    pub digest: Digest,
    /// Size of the component in bytes.
    pub size: u64,
    /// The interfaces of `cairn:plugin` it imports, as `quota` or `cairn:plugin/quota@0.1.0`; `context`, `log` and `types` are
    /// among them.
    pub imports: BTreeSet<String>,
    /// The JSON schema of its settings.
    pub settings_schema: Value,
    /// What it said of itself, given the settings of the manifest.
    pub descriptor: Descriptor,
    /// Its name, where it is built in.
    pub builtin: Option<String>,
    /// What it can be used as.
    pub roles: BTreeSet<Role>,
}

/// What a plugin is used as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A step of a flow.
    Task,
    /// Decides whether a caller may do something.
    Policy,
    /// Finds what is wrong with a request.
    Validator,
}

impl Role {
    /// The interface of `cairn:plugin` that it exports.
    pub const fn interface(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Policy => "policy-check",
            Self::Validator => "validator",
        }
    }

    /// The role in a sentence.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Policy => "policy",
            Self::Validator => "validator",
        }
    }
}

/// A flow that can be run: everything about it that was read, checked and wired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Name of the flow.
    pub name: String,
    /// What policy is asked about, such as `volume:create`.
    pub action: Option<String>,
    /// What recovery does with the flow when its caller is gone.
    pub on_lost: OnLost,
    /// The tasks in the order in which they run.
    pub tasks: Vec<PlannedTask>,
    /// Policies that are asked before the first task, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PlannedAdmission>,
    /// Validators of the request, asked after the policies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validators: Vec<PlannedAdmission>,
    /// Policies that the operator's rules ask with `wasm:NAME`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rule_plugins: Vec<PlannedAdmission>,
    /// What is not wrong but is hardly meant, one sentence each; the manifest's warnings come first.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// One task of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedTask {
    /// Its name, unique in the plan.
    pub name: String,
    /// Key of its plugin in the manifest.
    pub plugin: String,
    /// What the flow and its reports call it: its name, and behind a semicolon the flow's action, as in
    /// `quota-reserve;volume:create`. Unique in the plan, too.
    pub display: String,
    /// Version of the plugin: major, minor.
    pub version: (u32, u32),
    /// Digest of the component.
    pub digest: Digest,
    /// Size of the component in bytes.
    pub size: u64,
    /// Its name, where it is built in.
    pub builtin: Option<String>,
    /// The plugin's settings; they fit its schema.
    pub settings: Object,
    /// What the plugin may import.
    pub grants: Grants,
    /// What one call may use up.
    pub limits: Limits,
    /// How often `call` is tried.
    pub retry: Retry,
    /// How often `revert` is tried.
    pub revert: Retry,
    /// Each required input with the name of the task that provides it.
    pub requires: Vec<(String, String)>,
    /// Each optional input with the names of the tasks that provide it, nearest first.
    pub optional: Vec<(String, Vec<String>)>,
    /// Names that its result must hold.
    pub provides: Vec<String>,
}

/// A policy or a validator of a plan, or a policy that rules ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedAdmission {
    /// Key of its plugin in the manifest.
    pub plugin: String,
    /// What its denial comes to; validators are always enforced.
    #[serde(default)]
    pub mode: Mode,
    /// Version of the plugin: major, minor.
    pub version: (u32, u32),
    /// Digest of the component.
    pub digest: Digest,
    /// Size of the component in bytes.
    pub size: u64,
    /// Its name, where it is built in.
    pub builtin: Option<String>,
    /// The plugin's settings; they fit its schema.
    pub settings: Object,
    /// What one question may use up.
    pub limits: Limits,
}

impl Plan {
    /// Every component of the plan: its digest, and who it is in a sentence.
    pub fn components(&self) -> impl Iterator<Item = (Digest, String)> {
        let tasks = self.tasks.iter();
        let tasks = tasks.map(|task| (task.digest, format!("task `{}`", task.name)));
        let policies = self.policies.iter().chain(&self.rule_plugins);
        let policies =
            policies.map(|policy| (policy.digest, format!("policy `{}`", policy.plugin)));
        let validators = self.validators.iter();
        let validators = validators.map(|validator| {
            (
                validator.digest,
                format!("validator `{}`", validator.plugin),
            )
        });
        tasks.chain(policies).chain(validators)
    }

    /// What the plan is stored under: equal flows have equal digests, wherever their manifests stood and whatever was
    /// warned about.
    pub fn digest(&self) -> Digest {
        let silent = Self {
            warnings: Vec::new(),
            ..self.clone()
        };
        Digest::of_json(&silent).expect("the keys of a plan's maps are strings")
    }

    /// The task named `name`.
    pub fn task(&self, name: &str) -> Option<&PlannedTask> {
        self.tasks.iter().find(|task| task.name == name)
    }

    /// The plan as a Mermaid flowchart of tasks and the data between them.
    pub fn to_mermaid(&self) -> String {
        mermaid::flowchart(self)
    }
}

impl PlannedTask {
    /// Display name and version, as in `quota-reserve;volume:create==1.0`.
    pub fn versioned(&self) -> String {
        format!("{}=={}.{}", self.display, self.version.0, self.version.1)
    }
}

#[cfg(test)]
mod tests;
