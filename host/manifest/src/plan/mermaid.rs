//! Formats a plan as a Mermaid diagram.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Plan, PlannedStep};
use crate::manifest::Mode;

/// Draws tasks from top to bottom, with an arrow for the data that one passes to another. Dotted arrows are optional inputs,
/// from the nearest provider. Waits are round. Admission checks precede the first task.
pub(super) fn flowchart(plan: &Plan) -> String {
    let mut text = String::from("flowchart TD\n");
    // Generated ids: names may contain characters that an id may not.
    let ids: BTreeMap<&str, usize> = plan.tasks.iter().map(PlannedStep::name).zip(1..).collect();
    for (task, id) in plan.tasks.iter().zip(1..) {
        let (open, close) = match task {
            PlannedStep::Task(_) => ("[", "]"),
            PlannedStep::Wait(_) => ("([", "])"),
        };
        let _ = writeln!(text, "    t{id}{open}\"{}\"{close}", escaped(task.name()));
    }
    admission(&mut text, plan);
    for (task, id) in plan.tasks.iter().zip(1..) {
        let required = task.requires().iter().map(|(input, from)| (input, from));
        arrows(&mut text, &ids, id, "-->", required);
        let nearest = task
            .optional()
            .iter()
            .filter_map(|(input, from)| Some((input, from.first()?)));
        arrows(&mut text, &ids, id, "-.->", nearest);
    }
    text
}

/// Draws the admission checks, in a row that leads to the first task.
fn admission(text: &mut String, plan: &Plan) {
    let policies = plan.policies.iter().map(|policy| {
        let mode = match policy.mode {
            Mode::Enforce => "",
            Mode::Monitor => " (monitor)",
        };
        format!("policy {}{mode}", escaped(&policy.plugin))
    });
    let validators = plan.validators.iter();
    let validators = validators.map(|one| format!("validator {}", escaped(&one.plugin)));
    let labels: Vec<String> = policies.chain(validators).collect();
    for (label, id) in labels.iter().zip(1..) {
        let _ = writeln!(text, "    c{id}{{{{\"{label}\"}}}}");
    }
    for id in 1..=labels.len() {
        let next = match id == labels.len() {
            true => "t1".to_owned(),
            false => format!("c{}", id + 1),
        };
        let _ = writeln!(text, "    c{id} ==> {next}");
    }
}

/// Draws one arrow for each provider, labelled with all data that it passes.
fn arrows<'p>(
    text: &mut String,
    ids: &BTreeMap<&str, usize>,
    to: usize,
    arrow: &str,
    inputs: impl Iterator<Item = (&'p String, &'p String)>,
) {
    let mut labels: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (input, provider) in inputs {
        if let Some(&from) = ids.get(provider.as_str()) {
            labels.entry(from).or_default().push(escaped(input));
        }
    }
    for (from, names) in labels {
        let _ = writeln!(text, "    t{from} {arrow}|\"{}\"| t{to}", names.join(", "));
    }
}

/// Escapes a label. Plugins choose the names of inputs, so every character that may be special to Mermaid or to a browser is
/// written as its code.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        if c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':') {
            out.push(c);
        } else {
            let _ = write!(out, "#{};", u32::from(c));
        }
        out
    })
}
