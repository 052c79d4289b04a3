use cairn::store::view::{Finding, Severity, Status as Found};
use clap::Args;

use crate::args::Format;
use crate::exit::{Exit, Failure};
use crate::output::{self, count, printable};
use crate::session::Session;

/// Show whether anything needs you; exit 6 if something does
///
/// Lists stuck flows, incomplete and unknown rollbacks, flows that have run or waited longer than expected, messages that are undelivered or
/// failed, quotas that differ, hosts with late leases, and a backup that is too old: each with one sentence and the command that helps. Also
/// shows the most frequent errors of the last hour, which need no person. What is too long is set in [status] of cairn.toml.
///
/// Quotas are compared at most every ten minutes; `cairn quota check --admin` does so at once.
#[derive(Args, Debug)]
pub struct Status {
    #[command(flatten)]
    format: Format,
}

impl Status {
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let operator = session.operator();
        let reader = session.reader()?;
        let status = reader.view(&operator).status(&session.settings.status)?;
        drop(reader);
        let checks = status.new_checks();
        if !checks.is_empty() {
            let noted = session.note_facts(|admin| admin.note_checks(&checks));
            if let Err(failure) = noted {
                // On a medium that is only read the checks run each time.
                tracing::debug!(error = %failure.diagnostic, "the results of checks could not be noted");
            }
        }
        if self.format.is_json() {
            output::document(self.format, &status)?;
        } else {
            output::print(&text(&status))?;
        }
        Ok(match status.needs_person() {
            true => Exit::Refused,
            false => Exit::Ok,
        })
    }
}

fn text(status: &Found) -> String {
    let mut text = String::new();
    for finding in &status.findings {
        add(&mut text, finding);
    }
    if status.findings.is_empty() {
        text += "nothing needs you\n";
    }
    if !status.errors.is_empty() {
        let errors = status.errors.iter();
        let errors = errors.map(|error| format!("{} {}", printable(&error.kind), error.flows));
        let errors: Vec<String> = errors.collect();
        text += &format!("errors of the last hour: {}\n", errors.join(", "));
    }
    text
}

/// Adds a finding: its sentence, the flows that it names, and the command.
fn add(text: &mut String, finding: &Finding) {
    let severity = match finding.severity {
        Severity::Error => "ERROR  ",
        Severity::Warning => "warning",
    };
    *text += &format!("{severity}  {}\n", printable(&finding.sentence));
    for flow in &finding.flows {
        *text += &format!(
            "           flow {}  {}  {}\n",
            flow.id,
            printable(&flow.name),
            printable(&flow.project_id)
        );
    }
    let named = finding.flows.len();
    let more = usize::try_from(finding.count).map_or(0, |all| all.saturating_sub(named));
    if named > 0 && more > 0 {
        *text += &format!("           and {}\n", count(more, "more flow"));
    }
    *text += &format!("         help: {}\n", printable(&finding.command));
}
