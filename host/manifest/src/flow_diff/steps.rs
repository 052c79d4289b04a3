//! Compares the tasks and waits of two versions of a flow.

use std::collections::{BTreeMap, BTreeSet};

use cairn_model::value::Value;

use super::{Changes, FlowPart, json};
use crate::plan::PlannedStep;

/// Adds the changes of tasks and waits, in the order of the new version; those that are gone come first.
pub(super) fn compare(old: &[PlannedStep], new: &[PlannedStep], changes: &mut Changes) {
    let by_name = |steps: &'_ [PlannedStep]| -> BTreeMap<String, usize> {
        let names = steps.iter().enumerate();
        names
            .map(|(at, step)| (step.name().to_owned(), at))
            .collect()
    };
    let (olds, news) = (by_name(old), by_name(new));
    let signals: BTreeSet<&str> = new.iter().filter_map(signal).collect();
    let asks = |step: &PlannedStep| {
        let gone = signal(step).is_some_and(|signal| !signals.contains(signal));
        gone.then_some("nothing waits for its signal any more")
    };
    for gone in old.iter().filter(|step| !news.contains_key(step.name())) {
        let both = (work(gone), Value::Null);
        changes.differ(FlowPart::Task, Some(gone.name()), both, asks(gone));
    }
    for step in new {
        let before = olds.get(step.name()).and_then(|at| old.get(*at));
        match before {
            None => {
                let both = (Value::Null, work(step));
                changes.differ(FlowPart::Task, Some(step.name()), both, None);
            }
            Some(before) => {
                let both = (work(before), work(step));
                changes.differ(FlowPart::Task, Some(step.name()), both, asks(before));
                details(before, step, changes);
            }
        }
    }
    let common = |steps: &[PlannedStep]| {
        let names = steps.iter().map(PlannedStep::name);
        let names = names.filter(|name| olds.contains_key(*name) && news.contains_key(*name));
        names.collect::<Vec<_>>().join(", ")
    };
    let both = (common(old), common(new));
    changes.differ(FlowPart::Order, None, both, None);
}

/// Compares a task or a wait of both versions.
fn details(old: &PlannedStep, new: &PlannedStep, changes: &mut Changes) {
    let of = Some(new.name());
    let both = (inputs(old), inputs(new));
    changes.differ(FlowPart::Inputs, of, both, None);
    let (Some(old), Some(new)) = (old.as_task(), new.as_task()) else {
        return;
    };
    let both = (old.provides.clone(), new.provides.clone());
    changes.differ(FlowPart::Provides, of, both, None);
    let both = (json(&old.retry), json(&new.retry));
    changes.differ(FlowPart::Retry, of, both, None);
    let both = (json(&old.revert), json(&new.revert));
    changes.differ(FlowPart::Revert, of, both, None);
    let asks = "it may remove objects outside the database, which is not undone";
    let both = (old.pivot, new.pivot);
    changes.differ(FlowPart::Pivot, of, both, new.pivot.then_some(asks));
}

/// Returns the key of a task's plugin, or what a wait waits for.
fn work(step: &PlannedStep) -> Value {
    match step {
        PlannedStep::Task(task) => task.plugin.as_str().into(),
        PlannedStep::Wait(wait) => json(&wait.wait),
    }
}

fn signal(step: &PlannedStep) -> Option<&str> {
    match step {
        PlannedStep::Task(_) => None,
        PlannedStep::Wait(wait) => wait.wait.signal.as_deref(),
    }
}

/// Returns the providers of each input.
fn inputs(step: &PlannedStep) -> Value {
    let required = step.requires().iter();
    let required = required.map(|(input, from)| (input.clone(), from.as_str().into()));
    let optional = step.optional().iter();
    let optional = optional.map(|(input, from)| (format!("{input}?"), from.clone().into()));
    Value::Object(required.chain(optional).collect())
}
