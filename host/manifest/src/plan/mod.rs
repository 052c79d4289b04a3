//! The plan: a manifest whose plugins were loaded and described, with the provider of each input.
//!
//! [`Manifest::plan`](crate::manifest::Manifest::plan) makes it, and is pure. A flow stores its plan as JSON, so a plan
//! contains names of tasks and inputs, never positions, and recovery needs neither the manifest nor the original component
//! files.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use cairn_model::value::{Digest, Object, Value};

use crate::manifest::{Grants, Limits, Mode, OnLost, Retry, Wait};

mod descriptor;
mod from_manifest;
mod mermaid;
mod missing;
mod pivot;
mod roles;
mod settings;

pub use descriptor::Descriptor;
pub use missing::MissingDependencies;
pub use settings::{Schema, SchemaViolation, SettingsError, check_settings};

/// The results of inspecting one plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspected {
    /// Digest of the component.
    pub digest: Digest,
    /// Size of the component in bytes.
    pub size: u64,
    /// The interfaces of `cairn:plugin` that it imports, as `quota` or `cairn:plugin/quota@0.1.0`, including `context`, `log`
    /// and `types`.
    pub imports: BTreeSet<String>,
    /// The JSON schema of its settings.
    pub settings_schema: Value,
    /// Its description, for the settings of the manifest.
    pub descriptor: Descriptor,
    /// Its name, if it is built in.
    pub builtin: Option<String>,
    /// The roles that it can have.
    pub roles: BTreeSet<Role>,
}

/// The role of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A step of a flow.
    Task,
    /// Decides whether a caller may do something.
    Policy,
    /// Finds violations in a request.
    Validator,
    /// Makes objects outside the database for tasks.
    External,
}

impl Role {
    /// Returns the interface of `cairn:plugin` that the role requires as an export.
    pub const fn interface(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Policy => "policy-check",
            Self::Validator => "validator",
            Self::External => "external",
        }
    }

    /// Returns the role as a noun, for sentences.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Policy => "policy",
            Self::Validator => "validator",
            Self::External => "external",
        }
    }

    /// Returns the noun with its article.
    pub const fn with_article(self) -> &'static str {
        match self {
            Self::Task => "a task",
            Self::Policy => "a policy",
            Self::Validator => "a validator",
            Self::External => "an external",
        }
    }

    /// Returns the table of a manifest in which a plugin has the role.
    pub const fn table(self) -> &'static str {
        match self {
            Self::Task => "[[task]]",
            Self::Policy => "[[policy]]",
            Self::Validator => "[[validator]]",
            Self::External => "[externals.…]",
        }
    }
}

/// A flow that can be run: parsed, checked and wired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Name of the flow.
    pub name: String,
    /// The action that policies decide on, such as `volume:create`.
    pub action: Option<String>,
    /// How recovery treats a flow whose process is gone.
    pub on_lost: OnLost,
    /// The tasks in the order in which they run.
    pub tasks: Vec<PlannedStep>,
    /// Providers of objects outside the database, by the names that tasks use.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub externals: BTreeMap<String, PlannedExternal>,
    /// Policies that are checked before the first task, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PlannedAdmission>,
    /// Validators of the request, which run after the policies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validators: Vec<PlannedAdmission>,
    /// Policies that the operator's rules ask with `wasm:NAME`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rule_plugins: Vec<PlannedAdmission>,
    /// Warnings, one sentence each; the manifest's come first.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// One step of a plan. As JSON, one or the other, without a tag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[expect(
    clippy::large_enum_variant,
    reason = "plans are few, and most steps are of the larger kind"
)]
pub enum PlannedStep {
    /// A task that calls a plugin.
    Task(PlannedTask),
    /// A wait.
    Wait(PlannedWait),
}

/// One wait of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedWait {
    /// Its name, unique in the plan.
    pub name: String,
    /// Its name in the flow and its reports, as that of a [`PlannedTask`].
    pub display: String,
    /// What it waits for.
    pub wait: Wait,
    /// Its input with the name of its provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires: Option<(String, String)>,
}

/// One task of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedTask {
    /// Its name, unique in the plan.
    pub name: String,
    /// Key of its plugin in the manifest.
    pub plugin: String,
    /// Its name in the flow and its reports: the name, a semicolon, and the flow's action, as in `quota-reserve;volume:create`.
    /// Also unique in the plan.
    pub display: String,
    /// Version of the plugin: major, minor.
    pub version: (u32, u32),
    /// Digest of the component.
    pub digest: Digest,
    /// Size of the component in bytes.
    pub size: u64,
    /// Its plugin's name, if it is built in.
    pub builtin: Option<String>,
    /// The plugin's settings, validated against its schema.
    pub settings: Object,
    /// The capabilities that the plugin may use.
    pub grants: Grants,
    /// Limits of one call.
    pub limits: Limits,
    /// Retries of `call`.
    pub retry: Retry,
    /// Retries of `revert`.
    pub revert: Retry,
    /// Each required input with the name of its provider.
    pub requires: Vec<(String, String)>,
    /// Each optional input with the names of its providers, nearest first.
    pub optional: Vec<(String, Vec<String>)>,
    /// Names that its result must contain.
    pub provides: Vec<String>,
    /// Whether it may remove objects outside the database, after which the flow only goes forward.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pivot: bool,
}

/// A provider of objects outside the database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedExternal {
    /// Version of the plugin: major, minor.
    pub version: (u32, u32),
    /// Digest of the component.
    pub digest: Digest,
    /// Size of the component in bytes.
    pub size: u64,
    /// Its plugin's name, if it is built in.
    pub builtin: Option<String>,
    /// The plugin's settings, validated against its schema.
    pub settings: Object,
    /// The capabilities that the plugin may use.
    pub grants: Grants,
    /// Limits of one act.
    pub limits: Limits,
    /// Whether its backend refuses acts with an older token.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fences: bool,
}

/// A policy or a validator of a plan, or a policy that rules ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedAdmission {
    /// Key of its plugin in the manifest.
    pub plugin: String,
    /// The effect of its denial; validators are always enforced.
    #[serde(default)]
    pub mode: Mode,
    /// Version of the plugin: major, minor.
    pub version: (u32, u32),
    /// Digest of the component.
    pub digest: Digest,
    /// Size of the component in bytes.
    pub size: u64,
    /// Its plugin's name, if it is built in.
    pub builtin: Option<String>,
    /// The plugin's settings, validated against its schema.
    pub settings: Object,
    /// Limits of one question.
    pub limits: Limits,
}

impl Plan {
    /// Returns every component of the plan: its digest, and a description for messages.
    pub fn components(&self) -> impl Iterator<Item = (Digest, String)> {
        let tasks = self.plugin_tasks();
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
        let externals = self.externals.iter();
        let externals = externals.map(|(name, one)| (one.digest, format!("provider `{name}`")));
        tasks.chain(policies).chain(validators).chain(externals)
    }

    /// Returns the digest under which the plan is stored: equal flows have equal digests, independent of the manifest's place
    /// and of warnings.
    pub fn digest(&self) -> Digest {
        let silent = Self {
            warnings: Vec::new(),
            ..self.clone()
        };
        Digest::of_json(&silent).expect("the keys of a plan's maps are strings")
    }

    /// Returns the tasks that call a plugin, in order.
    pub fn plugin_tasks(&self) -> impl Iterator<Item = &PlannedTask> {
        self.tasks.iter().filter_map(PlannedStep::as_task)
    }

    /// Returns the task named `name` that calls a plugin.
    pub fn task(&self, name: &str) -> Option<&PlannedTask> {
        self.plugin_tasks().find(|task| task.name == name)
    }

    /// Formats the plan as a Mermaid flowchart of tasks and the data between them.
    pub fn to_mermaid(&self) -> String {
        mermaid::flowchart(self)
    }
}

impl PlannedStep {
    /// Returns its name, unique in the plan.
    pub fn name(&self) -> &str {
        match self {
            Self::Task(task) => &task.name,
            Self::Wait(wait) => &wait.name,
        }
    }

    /// Returns the task, if it calls a plugin.
    pub fn as_task(&self) -> Option<&PlannedTask> {
        match self {
            Self::Task(task) => Some(task),
            Self::Wait(_) => None,
        }
    }

    /// Returns each required input with the name of its provider.
    pub fn requires(&self) -> &[(String, String)] {
        match self {
            Self::Task(task) => &task.requires,
            Self::Wait(wait) => wait.requires.as_slice(),
        }
    }

    /// Returns each optional input with the names of its providers, nearest first.
    pub fn optional(&self) -> &[(String, Vec<String>)] {
        match self {
            Self::Task(task) => &task.optional,
            Self::Wait(_) => &[],
        }
    }
}

impl PlannedTask {
    /// Returns display name and version, as in `quota-reserve;volume:create==1.0`.
    pub fn versioned(&self) -> String {
        format!("{}=={}.{}", self.display, self.version.0, self.version.1)
    }
}

#[cfg(test)]
mod tests;
