//! `cairn flow show`.

use std::time::Duration;

use cairn::event::FlowState;
use cairn::history::History;
use cairn::{FlowId, Report, Value};

use crate::args::Format;
use crate::exit::Failure;
use crate::output;
use crate::report;

/// Prints a flow's report, request, tasks and changes; as JSON its report.
///
/// # Errors
/// When stdout cannot be written.
pub(super) fn print(id: FlowId, history: &History, format: Format) -> Result<(), Failure> {
    let report = Report::new(id, history);
    if format.is_json() {
        return report::print(&report, format);
    }
    output::print(&text(&report, history))
}

fn text(report: &Report, history: &History) -> String {
    let mut text = report::text(report);
    let requester = &history.requester;
    let who = format!("{} of {}", requester.user_id, requester.project_id);
    report::line(&mut text, "asked by", &who);
    report::line(&mut text, "request", &history.request.to_string());
    if let Some(key) = &history.key {
        report::line(&mut text, "key", key.text());
    }
    for task in &report.tasks {
        let took = task.duration_us.map(Duration::from_micros);
        let took = took.map_or_else(
            || "-".to_owned(),
            |took| humantime::format_duration(took).to_string(),
        );
        let result = match &*task.result {
            Value::Null => String::new(),
            result => format!("  {result}"),
        };
        let line = format!("{}  {}  {took}{result}", task.name, task.state);
        report::line(&mut text, "ran", &line);
    }
    if report.flow.state == FlowState::Success {
        report::made(&mut text, history);
    }
    text
}
