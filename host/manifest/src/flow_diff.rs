//! Compares two versions of a flow.
//!
//! A change *asks for more* if an operator must accept it:
//!
//! - a plugin gets a new or a wider grant, or a higher limit;
//! - there is another plugin, unless it is built in or its component belongs to the old version;
//! - the flow has another action, or none any more: the rule of the action decides who may submit the flow;
//! - a policy or validator is gone, or a policy does not deny any more;
//! - a task may remove objects outside the database, and could not before;
//! - a signal is not waited for any more.
//!
//! All other changes are reported only. A new version of a plugin, which has another digest, is bound by the grants and limits of the old one.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use cairn_model::value::{Digest, Object, Value};

use crate::manifest::{Grant, GrantKinds, Grants, LimitKey, Limits, Mode};
use crate::plan::{Plan, PlannedAdmission, PlannedStep, Role};

mod steps;

/// The part of a flow that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FlowPart {
    /// The action that policies decide on.
    Action,
    /// How recovery treats a flow whose process is gone.
    OnLost,
    /// A task or a wait.
    Task,
    /// The order of the tasks that both versions have.
    Order,
    /// The providers of a task's inputs.
    Inputs,
    /// The names that a task's result contains.
    Provides,
    /// The retries of a task's call.
    Retry,
    /// The retries of a task's revert.
    Revert,
    /// Whether a task may remove objects outside the database.
    Pivot,
    /// A provider of objects outside the database.
    External,
    /// A policy, or what its denial does.
    Policy,
    /// A validator.
    Validator,
    /// A plugin.
    Plugin,
    /// The name of a plugin that is built in.
    Builtin,
    /// The digest of a plugin's component.
    Sha256,
    /// The version of a plugin.
    Version,
    /// A grant of a plugin.
    Grants,
    /// A limit of a plugin.
    Limits,
    /// A setting of a plugin; without its values, which may be confidential.
    Settings,
}

impl FlowPart {
    /// Returns the part as written in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::OnLost => "on_lost",
            Self::Task => "task",
            Self::Order => "order",
            Self::Inputs => "inputs",
            Self::Provides => "provides",
            Self::Retry => "retry",
            Self::Revert => "revert",
            Self::Pivot => "pivot",
            Self::External => "external",
            Self::Policy => "policy",
            Self::Validator => "validator",
            Self::Plugin => "plugin",
            Self::Builtin => "builtin",
            Self::Sha256 => "sha256",
            Self::Version => "version",
            Self::Grants => "grants",
            Self::Limits => "limits",
            Self::Settings => "settings",
        }
    }
}

/// One change between two versions of a flow.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FlowChange {
    /// The part that changed.
    pub part: FlowPart,
    /// The name of the task, or the key of the plugin; `None` for the flow as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// The old value; null if it was added.
    pub old: Value,
    /// The new value; null if it is gone.
    pub new: Value,
    /// Why an operator must accept the change; `None` if it does not ask for more.
    pub asks: Option<&'static str>,
}

/// Compares two versions of a flow on a host with the capabilities in `kinds`.
pub fn changes(old: &Plan, new: &Plan, kinds: &GrantKinds) -> Vec<FlowChange> {
    let mut changes = Changes(Vec::new());
    let asks = "the rule of the action decides who may submit the flow";
    changes.differ(
        FlowPart::Action,
        None,
        (old.action.clone(), new.action.clone()),
        Some(asks),
    );
    let on_lost = (json(&old.on_lost), json(&new.on_lost));
    changes.differ(FlowPart::OnLost, None, on_lost, None);
    steps::compare(&old.tasks, &new.tasks, &mut changes);
    externals(old, new, &mut changes);
    admission(Role::Policy, (&old.policies, &new.policies), &mut changes);
    admission(
        Role::Validator,
        (&old.validators, &new.validators),
        &mut changes,
    );
    plugins(&used(old), &used(new), kinds, &mut changes);
    changes.0
}

/// The changes that were found so far.
struct Changes(Vec<FlowChange>);

impl Changes {
    /// Adds a change if the values differ. Null stands for a value that one version does not have.
    fn differ(
        &mut self,
        part: FlowPart,
        of: Option<&str>,
        (old, new): (impl Into<Value>, impl Into<Value>),
        asks: Option<&'static str>,
    ) {
        let (old, new) = (old.into(), new.into());
        if old != new {
            self.0.push(FlowChange {
                part,
                of: of.map(str::to_owned),
                old,
                new,
                asks,
            });
        }
    }
}

/// Returns a part of a plan as JSON. Plans are stored as JSON, so each part can be.
fn json(part: &impl Serialize) -> Value {
    serde_json::to_value(part).expect("a part of a plan is JSON")
}

fn externals(old: &Plan, new: &Plan, changes: &mut Changes) {
    let names: BTreeSet<&String> = old.externals.keys().chain(new.externals.keys()).collect();
    for name in names {
        let described = |plan: &Plan| {
            let external = plan.externals.get(name)?;
            Some(match external.fences {
                true => "fences",
                false => "does not fence",
            })
        };
        let both = (described(old), described(new));
        changes.differ(FlowPart::External, Some(name), both, None);
    }
}

fn admission(
    role: Role,
    (old, new): (&[PlannedAdmission], &[PlannedAdmission]),
    changes: &mut Changes,
) {
    let (part, gone) = match role {
        Role::Validator => (FlowPart::Validator, "it does not check requests any more"),
        _ => (FlowPart::Policy, "it does not deny requests any more"),
    };
    let mode = |list: &[PlannedAdmission], plugin: &str| {
        let mut list = list.iter();
        list.find(|one| one.plugin == plugin).map(|one| one.mode)
    };
    let plugins: BTreeSet<&str> = old
        .iter()
        .chain(new)
        .map(|one| one.plugin.as_str())
        .collect();
    for plugin in plugins {
        let (old, new) = (mode(old, plugin), mode(new, plugin));
        let asks = old == Some(Mode::Enforce) && new != Some(Mode::Enforce);
        let both = (old.map(Mode::as_str), new.map(Mode::as_str));
        changes.differ(part, Some(plugin), both, asks.then_some(gone));
    }
}

/// A plugin of a plan.
struct Used<'p> {
    version: (u32, u32),
    digest: Digest,
    builtin: Option<&'p str>,
    settings: &'p Object,
    /// Policies and validators need none.
    grants: Option<&'p Grants>,
    limits: &'p Limits,
}

impl Used<'_> {
    fn version(&self) -> String {
        let (major, minor) = self.version;
        format!("{major}.{minor}")
    }

    fn title(&self) -> String {
        match self.builtin {
            Some(name) => format!("{} (builtin:{name})", self.version()),
            None => format!("{} ({})", self.version(), self.digest),
        }
    }

    fn grant(&self, capability: &str) -> Option<&Grant> {
        self.grants?.get(capability)
    }

    /// Returns whether two versions have this component, or different versions of this built-in one.
    fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest || (self.builtin.is_some() && self.builtin == other.builtin)
    }
}

/// Returns the plugins of a plan by their keys.
fn used(plan: &Plan) -> BTreeMap<&str, Used<'_>> {
    let tasks = plan.tasks.iter().filter_map(PlannedStep::as_task);
    let tasks = tasks.map(|task| {
        let used = Used {
            version: task.version,
            digest: task.digest,
            builtin: task.builtin.as_deref(),
            settings: &task.settings,
            grants: Some(&task.grants),
            limits: &task.limits,
        };
        (task.plugin.as_str(), used)
    });
    let externals = plan.externals.iter().map(|(key, external)| {
        let used = Used {
            version: external.version,
            digest: external.digest,
            builtin: external.builtin.as_deref(),
            settings: &external.settings,
            grants: Some(&external.grants),
            limits: &external.limits,
        };
        (key.as_str(), used)
    });
    let asked = plan.policies.iter().chain(&plan.validators);
    let asked = asked.chain(&plan.rule_plugins).map(|one| {
        let used = Used {
            version: one.version,
            digest: one.digest,
            builtin: one.builtin.as_deref(),
            settings: &one.settings,
            grants: None,
            limits: &one.limits,
        };
        (one.plugin.as_str(), used)
    });
    // The grants of a plugin with several roles are those of its task.
    asked.chain(externals).chain(tasks).collect()
}

fn plugins(
    old: &BTreeMap<&str, Used<'_>>,
    new: &BTreeMap<&str, Used<'_>>,
    kinds: &GrantKinds,
    changes: &mut Changes,
) {
    let keys: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    for key in keys {
        let (before, now) = (old.get(key), new.get(key));
        let Some(now) = now else {
            let title = before.map(Used::title);
            changes.differ(FlowPart::Plugin, Some(key), (title, Value::Null), None);
            continue;
        };
        let known = old.values().find(|other| other.is_same(now));
        let is_covered = now.builtin.is_some() || known.is_some();
        match before {
            None => {
                let asks = "the deployed version does not have this plugin";
                changes.differ(
                    FlowPart::Plugin,
                    Some(key),
                    (Value::Null, now.title()),
                    (!is_covered).then_some(asks),
                );
            }
            Some(before) => component(key, before, now, is_covered, changes),
        }
        let before = before.or(known);
        grants(key, before, now, kinds, changes);
        limits(key, before, now, changes);
        if let Some(before) = before {
            settings(key, before.settings, now.settings, changes);
        }
    }
}

fn component(key: &str, old: &Used<'_>, new: &Used<'_>, is_covered: bool, changes: &mut Changes) {
    let asks = (!is_covered).then_some("the plugin was one that is built in");
    let builtin = (old.builtin, new.builtin);
    changes.differ(FlowPart::Builtin, Some(key), builtin, asks);
    let digest = (old.digest.to_string(), new.digest.to_string());
    changes.differ(FlowPart::Sha256, Some(key), digest, None);
    let version = (old.version(), new.version());
    changes.differ(FlowPart::Version, Some(key), version, None);
}

fn grants(
    key: &str,
    old: Option<&Used<'_>>,
    new: &Used<'_>,
    kinds: &GrantKinds,
    changes: &mut Changes,
) {
    let granted = old.into_iter().chain([new]);
    let granted = granted
        .filter_map(|used| used.grants)
        .flat_map(Grants::iter);
    let capabilities: BTreeSet<&str> = granted.map(|(capability, _)| capability).collect();
    for capability in capabilities {
        let before = old.and_then(|used| used.grant(capability));
        let now = new.grant(capability);
        let asks = match (before, now) {
            (None, Some(_)) => Some("a new grant"),
            (Some(before), Some(now)) => {
                let kind = kinds.get(capability);
                let both = kind.and_then(|kind| kind.within(now, before));
                (both.as_ref() != Some(now)).then_some("a wider grant")
            }
            (_, None) => None,
        };
        let text =
            |grant: &Grant| Grants::from_iter([(capability.to_owned(), grant.clone())]).to_string();
        let both = (before.map(text), now.map(text));
        changes.differ(FlowPart::Grants, Some(key), both, asks);
    }
}

fn limits(key: &str, old: Option<&Used<'_>>, new: &Used<'_>, changes: &mut Changes) {
    let defaults = Limits::default();
    let old = old.map_or(&defaults, |used| used.limits);
    for limit in LimitKey::ALL.iter().copied() {
        let asks = new.limits.above(old, limit).then_some("a higher limit");
        let text = |limits: &Limits| format!("{limit} {}", limits.show(limit));
        let both = (text(old), text(new.limits));
        changes.differ(FlowPart::Limits, Some(key), both, asks);
    }
}

fn settings(key: &str, old: &Object, new: &Object, changes: &mut Changes) {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let (before, now) = (old.get(name), new.get(name));
        let now = match (before, now) {
            (Some(before), Some(now)) if before != now => Some(format!("another {name}")),
            (_, now) => now.map(|_| name.clone()),
        };
        let both = (before.map(|_| name.clone()), now);
        changes.differ(FlowPart::Settings, Some(key), both, None);
    }
}

#[cfg(test)]
mod tests;
