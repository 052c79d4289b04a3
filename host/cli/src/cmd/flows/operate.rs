use std::sync::Arc;

use cairn::audit::Asker;
use cairn::host::Dispatched;
use cairn::store::operation::Operation;
use cairn::{FlowError, FlowId, HostError, Report};
use clap::Args;

use super::Which;
use crate::args::{Format, Placement, Who};
use crate::exit::{Exit, Failure, leaves_nothing_unwanted};
use crate::interrupt::Interrupt;
use crate::output;
use crate::report;
use crate::session::Session;

/// Arguments of a change of a flow. If another process owns the flow, it is asked to make the change.
#[derive(Args, Debug)]
pub struct Operate {
    #[command(flatten)]
    pub(super) which: Which,
    /// If another process owns the flow, wait until it has made the change
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    placement: Placement,
    #[command(flatten)]
    pub(super) who: Who,
}

#[derive(Args, Debug)]
pub struct Rollback {
    #[command(flatten)]
    operate: Operate,
    /// Reason, for the report
    #[arg(long, value_name = "TEXT", default_value = "the operator asked for it")]
    reason: String,
    /// Accept an incomplete rollback as it is, and record this reason; nothing is reverted
    #[arg(long, value_name = "REASON", conflicts_with = "reason")]
    accept: Option<String>,
}

impl Rollback {
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let Some(reason) = self.accept else {
            let reason = self.reason;
            return self.operate.run(session, Operation::Rollback { reason });
        };
        let user_id = session.requester(&self.operate.who)?.user_id;
        self.operate
            .run(session, Operation::Accept { user_id, reason })
    }
}

impl Operate {
    pub fn run(self, session: &Session, operation: Operation) -> Result<Exit, Failure> {
        let id = self.which.id(&session.any_reader()?)?;
        let by = Asker::from(&session.requester(&self.who)?);
        let host = session
            .host(session.planner()?, session.policy()?)?
            .build()?;
        let host = Arc::new(host);
        let interrupt = Interrupt::with(&session.settings.global, {
            let host = Arc::clone(&host);
            move || host.stop()
        })?;
        let refused = |error| refused(id, error);
        let report = match host.operate(id, &operation, &by).map_err(refused)? {
            Dispatched::Here(report) => *report,
            Dispatched::Asked { pid, request } if self.wait => {
                let answer = host.answer(id, pid, request, &operation, &by);
                answer.map_err(refused)?
            }
            Dispatched::Asked { pid, .. } => {
                let message = format!(
                    "process {pid}, which owns the flow, was asked to {} it",
                    operation.name()
                );
                if self.format.is_json() {
                    output::document(self.format, &serde_json::json!({"flow": id, "asked": pid}))?;
                } else {
                    output::print(&format!("{message}\n"))?;
                }
                return Ok(Exit::Ok);
            }
        };
        drop(interrupt);
        report::deliver(&report, &report::format(&report, self.format)?)?;
        Ok(exit(&operation, &report))
    }
}

/// Converts the error of an operation, with help if the flow's changes are the obstacle.
fn refused(id: FlowId, error: HostError) -> Failure {
    let help = match &error {
        HostError::Flow(FlowError::EffectsStand) => {
            format!("`cairn flow rollback {id}` undoes them, and lists the changes that remain")
        }
        HostError::Flow(FlowError::Unreverted) => format!(
            "`cairn flow rollback {id}` repeats the rollback; with --accept REASON it is accepted as it is"
        ),
        HostError::Flow(FlowError::Left(_)) => format!(
            "start a new flow with `cairn run` instead; `cairn flow show {id}` lists everything that is left"
        ),
        _ => return error.into(),
    };
    let mut failure = Failure::from(error);
    failure.diagnostic = failure.diagnostic.help(help);
    failure
}

/// Returns the exit code of an operation.
fn exit(operation: &Operation, report: &Report) -> Exit {
    let verdict = report.rollback.as_ref().map(|rollback| rollback.verdict);
    match operation {
        Operation::Resume => Exit::of(report),
        // A rollback that pauses goes on later.
        Operation::Rollback { .. } if report.flow.sleep.is_some() => Exit::of(report),
        Operation::Rollback { .. } => match verdict {
            Some(verdict) if !leaves_nothing_unwanted(verdict) => Exit::Residue,
            None | Some(_) => Exit::Ok,
        },
        _ => Exit::Ok,
    }
}
