//! The components of a plan: what each may do, and how it differs from the version before.

use std::collections::BTreeMap;

use cairn::manifest::{Limits, Mode};
use cairn::plan::{PlannedAdmission, PlannedExternal, PlannedTask};
use cairn::value::Digest;
use cairn::{Object, Plan};
use maud::{Markup, html};

use super::MOST;
use crate::ui::mask::{self, Schemas};
use crate::ui::plan;
use crate::ui::text::{self, Text};

/// The version of the flow before the one that is shown.
pub(super) struct Before {
    version: i64,
    /// The components, by their descriptions.
    components: BTreeMap<String, Digest>,
}

impl Before {
    pub(super) fn new(version: i64, plan: &Plan) -> Self {
        let components = plan.components();
        let components = components.map(|(digest, whose)| (whose, digest));
        Self {
            version,
            components: components.collect(),
        }
    }
}

/// What the table shows a plan with.
pub(super) struct Shown<'s> {
    pub schemas: &'s Schemas,
    pub before: Option<&'s Before>,
    /// The path of the page.
    pub path: &'s str,
}

/// A component as a row.
struct Component<'p> {
    name: &'p str,
    tags: Vec<&'static str>,
    version: (u32, u32),
    builtin: Option<&'p str>,
    grants: String,
    digest: Digest,
    size: u64,
    settings: &'p Object,
    limits: &'p Limits,
    /// As [`Plan::components`] describes it.
    whose: String,
}

impl<'p> Component<'p> {
    fn task(task: &'p PlannedTask) -> Self {
        Self {
            name: &task.name,
            tags: task.pivot.then_some("pivot").into_iter().collect(),
            version: task.version,
            builtin: task.builtin.as_deref(),
            grants: task.grants.to_string(),
            digest: task.digest,
            size: task.size,
            settings: &task.settings,
            limits: &task.limits,
            whose: format!("task `{}`", task.name),
        }
    }

    fn external(name: &'p str, one: &'p PlannedExternal) -> Self {
        Self {
            name,
            tags: vec!["external"],
            version: one.version,
            builtin: one.builtin.as_deref(),
            grants: one.grants.to_string(),
            digest: one.digest,
            size: one.size,
            settings: &one.settings,
            limits: &one.limits,
            whose: format!("provider `{name}`"),
        }
    }

    fn admission(tag: &'static str, role: &str, one: &'p PlannedAdmission) -> Self {
        let mut tags = vec![tag];
        tags.extend((one.mode == Mode::Monitor).then_some("monitor"));
        Self {
            name: &one.plugin,
            tags,
            version: one.version,
            builtin: one.builtin.as_deref(),
            grants: "-".to_owned(),
            digest: one.digest,
            size: one.size,
            settings: &one.settings,
            limits: &one.limits,
            whose: format!("{role} `{}`", one.plugin),
        }
    }
}

/// Returns the components of a plan, in the order of the table.
fn all(plan: &Plan) -> impl Iterator<Item = Component<'_>> {
    let tasks = plan.plugin_tasks().map(Component::task);
    let externals = plan.externals.iter();
    let externals = externals.map(|(name, one)| Component::external(name, one));
    let policies = plan.policies.iter();
    let policies = policies.map(|one| Component::admission("policy", "policy", one));
    let validators = plan.validators.iter();
    let validators = validators.map(|one| Component::admission("validator", "validator", one));
    let rules = plan.rule_plugins.iter();
    let rules = rules.map(|one| Component::admission("policy of rules", "policy", one));
    tasks
        .chain(externals)
        .chain(policies)
        .chain(validators)
        .chain(rules)
}

/// Shows the components of a plan.
pub(super) fn table(plan: &Plan, shown: &Shown<'_>) -> Markup {
    html! {
        p.lead { "Flows of this version run with exactly these components: a component is compared with its digest whenever it is loaded." }
        div.wide tabindex="0" role="region" aria-label="Table of components" { table {
            thead { tr {
                th scope="col" { "Step" } th scope="col" { "Version" } th scope="col" { "Grants" } th scope="col" { "SHA-256" }
                th scope="col" { "Interfaces" } th scope="col" { "Settings and limits" }
            } }
            tbody { @for one in all(plan).take(MOST) { (row(&one, shown)) } }
        } }
    }
}

fn row(one: &Component<'_>, shown: &Shown<'_>) -> Markup {
    html! {
        tr {
            th scope="row" { (Text(one.name)) @for tag in &one.tags { " " span.tag { (tag) } } }
            td { (one.version.0) "." (one.version.1) @if let Some(name) = one.builtin { br; span.quiet { "built in: " (Text(name)) } } }
            td { code { (Text(&one.grants)) } }
            td { code.digest { (one.digest) } br; span.quiet { (plan::bytes(one.size)) }
                @if let Some(before) = shown.before { ", " (compared(one, before)) } }
            td {
                @if one.size == 0 { span.quiet { "native code" } }
                @else { a href={ (shown.path) "?component=" (one.digest) "#wit" } { "WIT" } }
            }
            td { details { summary { "Show" }
                @if !one.settings.is_empty() { (text::json(&mask::settings(one.settings, shown.schemas.get(&one.digest)))) }
                (plan::limits(one.limits))
            } }
        }
    }
}

/// Compares a component with that of the version before.
fn compared(one: &Component<'_>, before: &Before) -> Markup {
    html! {
        @match before.components.get(&one.whose) {
            None => strong.warn { "new since version " (before.version) },
            Some(digest) if *digest == one.digest => span.quiet { "as in version " (before.version) },
            Some(digest) => strong.warn { "changed since version " (before.version) ", which had " code title=(digest) { (digest.to_string().get(..12).unwrap_or_default()) } },
        }
    }
}

/// Returns the names of the steps that a component of the plan serves; empty if the plan has no such component.
pub(super) fn named(plan: &Plan, digest: Digest) -> Vec<&str> {
    let named = all(plan).filter(|one| one.digest == digest);
    named.map(|one| one.name).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::samples;
    use cairn::plan::PlannedStep;
    use serde_json::json;

    fn shown(plan: &Plan, before: Option<&Before>) -> String {
        let shown = Shown {
            schemas: &Schemas::default(),
            before,
            path: "/ui/deployed/sizes/2",
        };
        table(plan, &shown).into_string()
    }

    #[test]
    fn secrets_are_masked_and_names_are_text() {
        let mut plan = samples::plan("sizes", &["one", "<b>two"]);
        let PlannedStep::Task(task) = &mut plan.tasks[0] else {
            panic!("a task")
        };
        task.settings = json!({"token": "hunter2"}).as_object().cloned().unwrap();
        let shown = shown(&plan, None);
        assert!(
            !shown.contains("hunter2") && !shown.contains("<b>two"),
            "{shown}"
        );
    }

    #[test]
    fn a_digest_is_compared_with_that_of_the_version_before() {
        let old = samples::plan("sizes", &["one", "two"]);
        let mut new = samples::plan("sizes", &["one", "two", "three"]);
        let PlannedStep::Task(task) = &mut new.tasks[1] else {
            panic!("a task")
        };
        task.digest = Digest::of(b"another one");
        let page = shown(&new, Some(&Before::new(1, &old)));
        let rows: Vec<&str> = page.split("<tr").skip(2).collect();
        let expected = [
            "as in version 1",
            "changed since version 1",
            "new since version 1",
        ];
        for (row, expected) in rows.iter().filter(|row| row.contains("#wit")).zip(expected) {
            assert!(row.contains(expected), "{expected}: {row}");
        }
        assert!(page.contains(&format!("?component={}#wit", task_digest(&new, 0))));
    }

    fn task_digest(plan: &Plan, at: usize) -> Digest {
        plan.plugin_tasks().nth(at).unwrap().digest
    }

    #[test]
    fn a_component_is_named_after_its_steps() {
        let plan = samples::plan("sizes", &["one", "two"]);
        assert_eq!(named(&plan, task_digest(&plan, 1)), ["two"]);
        assert!(named(&plan, Digest::of(b"none")).is_empty());
    }
}
