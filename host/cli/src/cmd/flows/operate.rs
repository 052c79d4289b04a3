use std::sync::Arc;

use cairn::host::Done;
use cairn::id::FlowId;
use cairn::report::{Report, Verdict};
use cairn::store::control::Operation;
use clap::Args;

use crate::args::{Format, Who};
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::output;
use crate::report;
use crate::session::Session;

/// What is done with a flow. One that another process has in hand is that one's to change, which is asked to.
#[derive(Args, Debug)]
pub struct Operate {
    /// The flow's id
    #[arg(value_name = "ID")]
    id: FlowId,
    /// Wait until a process that has the flow in hand has done it
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    format: Format,
}

#[derive(Args, Debug)]
pub struct Rollback {
    #[command(flatten)]
    operate: Operate,
    /// Why, for the report
    #[arg(long, value_name = "TEXT", default_value = "the operator asked for it")]
    reason: String,
    /// Close an incomplete rollback as it is, for this reason, which is recorded; nothing is reverted
    #[arg(long, value_name = "REASON", conflicts_with = "reason")]
    accept: Option<String>,
    #[command(flatten)]
    who: Who,
}

impl Rollback {
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let Some(reason) = self.accept else {
            let reason = self.reason;
            return self.operate.run(session, Operation::Rollback { reason });
        };
        let user_id = session.requester(&self.who)?.user_id;
        self.operate
            .run(session, Operation::Accept { user_id, reason })
    }
}

impl Operate {
    pub fn run(self, session: &Session, operation: Operation) -> Result<Exit, Failure> {
        session.any_reader()?;
        let host = session
            .host(session.planner()?, session.policy()?)?
            .build()?;
        let host = Arc::new(host);
        let interrupt = Interrupt::with(&session.settings.global, {
            let host = Arc::clone(&host);
            move || host.stop()
        })?;
        let report = match host.operate(self.id, &operation)? {
            Done::Here(report) => *report,
            Done::Asked { pid, request } if self.wait => {
                host.answer(self.id, pid, request, &operation)?
            }
            Done::Asked { pid, .. } => {
                let message = format!(
                    "process {pid}, which has the flow in hand, was asked to {} it",
                    operation.name()
                );
                if self.format.json {
                    output::json(&serde_json::json!({"flow": self.id, "asked": pid}))?;
                } else {
                    output::print(&format!("{message}\n"))?;
                }
                return Ok(Exit::Ok);
            }
        };
        drop(interrupt);
        report::print(&report, self.format)?;
        Ok(exit(&operation, &report))
    }
}

/// What was asked for is done, or how far it went.
fn exit(operation: &Operation, report: &Report) -> Exit {
    let verdict = report.rollback.as_ref().map(|rollback| rollback.verdict);
    match operation {
        Operation::Interrupt | Operation::Reset | Operation::Accept { .. } => Exit::Ok,
        Operation::Resume => Exit::of(report),
        Operation::Rollback { .. } => match verdict {
            None | Some(Verdict::Clean) => Exit::Ok,
            Some(Verdict::Residue | Verdict::Incomplete) => Exit::Residue,
        },
    }
}
