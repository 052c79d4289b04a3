//! The steps of a plan: drawn as a chain, and as a table with the provider of each input.

use cairn::Plan;
use cairn::plan::PlannedStep;
use maud::{Markup, html};

use super::MOST;
use crate::ui::text::{self, Text};

/// The least height of a step, with the arrow to the next one, and the height of a line beside it.
const STEP: usize = 58;
const LINE: usize = 15;

/// The longest line beside a step, in characters, and the most lines.
const LINE_LENGTH: usize = 120;
const LINES: usize = 12;

/// A step as the chain draws it.
struct Drawn<'p> {
    step: &'p PlannedStep,
    lines: Vec<String>,
    top: usize,
    height: usize,
}

/// Draws the steps from top to bottom, with the inputs of each and their providers.
pub(super) fn chain(plan: &Plan) -> Markup {
    let mut whole = 0;
    let steps = plan.tasks.iter().take(MOST).map(|step| {
        let lines = inputs(step);
        let (top, height) = (whole, STEP.max(lines.len() * LINE + 12));
        whole += height;
        Drawn {
            step,
            lines,
            top,
            height,
        }
    });
    let steps: Vec<Drawn<'_>> = steps.collect();
    html! {
        div.wide tabindex="0" role="region" aria-label="Chain of steps" {
            svg.chain width="100%" height=(whole) role="img" aria-label="The steps in their order, with the providers of their inputs" {
                @for (at, Drawn { step, lines, top, height }) in steps.iter().enumerate() {
                    @let round = if matches!(step, PlannedStep::Wait(_)) { 17 } else { 4 };
                    rect.box x="1" y=(top + 1) width="240" height="34" rx=(round) {}
                    text x="14" y=(top + 22) { (text::attribute(&text::shortened(step.name(), 28))) }
                    @for (number, line) in lines.iter().enumerate() {
                        text.data x="256" y=(top + 14 + number * LINE) { (text::attribute(line)) }
                    }
                    @if at + 1 < steps.len() {
                        path.arrow d={ "M121 " (top + 35) "v" (height - 39) "m-4-5l4 5l4-5" } {}
                    }
                }
            }
        }
    }
}

/// Writes the inputs of a step with their providers, over several lines; of an optional one the nearest provider.
fn inputs(step: &PlannedStep) -> Vec<String> {
    let required = step.requires().iter();
    let required = required.map(|(input, from)| format!("{input} ← {from}"));
    let optional = step.optional().iter();
    let optional = optional.map(|(input, from)| match from.first() {
        Some(from) => format!("{input}? ← {from}"),
        None => format!("{input}?"),
    });
    let mut lines: Vec<String> = Vec::new();
    for input in required.chain(optional) {
        let input = text::shortened(&input, LINE_LENGTH).into_owned();
        let fits = lines
            .last()
            .is_some_and(|line| line.chars().count() + input.chars().count() < LINE_LENGTH);
        match lines.last_mut() {
            Some(line) if fits => {
                *line += ",   ";
                *line += &input;
            }
            _ => lines.push(input),
        }
        if lines.len() > LINES {
            lines.truncate(LINES);
            lines.push("…".to_owned());
            break;
        }
    }
    lines
}

/// Lists what each step takes, with its providers, and what it provides.
pub(super) fn providers(plan: &Plan) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-label="Inputs and providers" { table {
            caption.quiet { "An input with a question mark is optional: it comes from the first of its providers that gives it." }
            thead { tr { th scope="col" { "Step" } th scope="col" { "Takes" } th scope="col" { "Provides" } } }
            tbody {
                @for step in plan.tasks.iter().take(MOST) {
                    tr {
                        th scope="row" { (Text(step.name())) }
                        td { ul.plain {
                            @for (input, from) in step.requires().iter().take(MOST) { li { (Text(input)) " " span.quiet { "from" } " " (Text(from)) } }
                            @for (input, from) in step.optional().iter().take(MOST) {
                                li { (Text(input)) "? " @if from.is_empty() { span.quiet { "from none" } } @else { span.quiet { "from" } " " (Text(&from.join(", "))) } }
                            }
                        } }
                        td { @match step {
                            PlannedStep::Task(task) => (Text(&text::brief(&task.provides.join(", ")))),
                            PlannedStep::Wait(_) => span.quiet { "what its signal brings" },
                        } }
                    }
                }
            }
        } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::samples;

    #[test]
    fn many_inputs_are_written_over_several_lines() {
        let mut plan = samples::plan("sizes", &["one", "two"]);
        let PlannedStep::Task(task) = &mut plan.tasks[1] else {
            panic!("a task")
        };
        let many = (0..30).map(|at| (format!("an-input-{at}"), "one".to_owned()));
        task.requires = many.collect();
        let lines = inputs(&plan.tasks[1]);
        assert!(
            lines.len() > 3
                && lines
                    .iter()
                    .all(|line| line.chars().count() <= LINE_LENGTH + 4)
        );
        let shown = chain(&plan).into_string();
        assert!(shown.contains("an-input-29 ← one"), "{shown}");
    }

    #[test]
    fn each_input_has_its_providers() {
        let mut plan = samples::plan("sizes", &["one", "<b>two"]);
        let PlannedStep::Task(task) = &mut plan.tasks[1] else {
            panic!("a task")
        };
        task.optional = vec![("colour".to_owned(), vec!["one".to_owned()])];
        let shown = providers(&plan).into_string();
        for part in ["<bdi>out-one</bdi>", "<bdi>colour</bdi>?", "&lt;b&gt;two"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!shown.contains("<b>"), "{shown}");
    }
}
