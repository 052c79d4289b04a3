//! `cairn flow signal`.

use cairn::Diagnostic;
use cairn::store::operation::Operation;
use cairn::value;
use clap::Args;

use super::operate::Operate;
use crate::args::word;
use crate::exit::{Exit, Failure};
use crate::input::{self, Input};
use crate::session::Session;

/// Give a flow a signal, which it waits for or will wait for
///
/// The signal is stored with the flow: a flow that waits for it goes on as soon as a process runs that wakes flows, such as `cairn run
/// --jsonl`, the `cairn run` that started the flow, or `cairn recover`. A flow keeps one signal of each name. The same signal again is
/// accepted; one with another payload, and one for a flow that has ended, is refused with 6.
#[derive(Args, Debug)]
pub struct Signal {
    #[command(flatten)]
    operate: Operate,
    /// Name of the signal, as in the flow's manifest
    #[arg(value_name = "NAME", value_parser = word)]
    name: String,
    /// Payload, a JSON object, which is the result of the wait: a file, - for stdin, or the object itself [default: {}]
    #[arg(long, short, value_name = "FILE|JSON")]
    input: Option<Input>,
}

impl Signal {
    pub(super) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let payload = input::request(self.input.as_ref())?;
        if !payload.is_object() {
            let text = value::text(&payload);
            let problem = Diagnostic::new(format!("the payload is {text}, and must be an object"))
                .help(r#"write an object, such as {"by": "ann"}"#);
            return Err(problem.into());
        }
        let user_id = session.requester(&self.operate.who)?.user_id;
        let operation = Operation::Signal {
            name: self.name,
            payload,
            user_id,
        };
        self.operate.run(session, operation)
    }
}
