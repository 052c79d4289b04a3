//! Forwards requests for projects that another host owns to that host, and runs those that others have forwarded to this one.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use cairn_effects::report::Report;
use cairn_model::error::{Diagnostic, TaskError};
use cairn_model::id::{FlowId, Identity};
use cairn_model::idempotency::Key;
use cairn_model::value::{Digest, Value};
use cairn_store::StoreError;
use cairn_store::shared::{Forwarded, Inbox, partition_of};

use super::caller::{Caller, Tell};
use super::keeper::Outgoing;
use super::pool::{Aside, Rest};
use super::submit::Submission;
use super::{Core, Hindrance, HostError};

/// How many forwarded requests are read at once, and wait for a worker.
const PAGE: usize = 500;

/// How many of them are under way: most that no worker is at follow another flow under the same key.
const UNDER_WAY: usize = 10 * PAGE;

/// How many requests, and bytes of them besides the last one, are forwarded in one statement.
const TOGETHER: (usize, usize) = (500, 4 << 20);

/// A request as it is stored in the inbox.
#[derive(Serialize, Deserialize)]
struct Body<'s> {
    plan: Digest,
    requester: Cow<'s, Identity>,
    request: Cow<'s, Value>,
    /// The key, and the digest of what was asked under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<(String, Digest)>,
}

/// What the owner of a project answers instead of creating the flow.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    /// The same request was made before under the same key, as this flow.
    Instead(FlowId),
    /// The key was used for another request.
    KeyReused { key: String, flow: FlowId },
    /// A rule or a limit refuses it.
    Refused(TaskError),
    /// It failed otherwise.
    Failed {
        pid: u32,
        message: String,
        why: Hindrance,
    },
}

impl Core {
    /// Forwards a request to the host that owns its project. The caller gets the report once the flow has ended there.
    pub(super) fn forward(
        self: &Arc<Self>,
        flow: FlowId,
        submission: &Submission,
        request: &Value,
        caller: Caller,
    ) {
        let Caller { tell, note, .. } = caller;
        let requester = &submission.requester;
        let project_id = requester.project_id.clone();
        let key = submission.key.as_ref();
        let body = Body {
            plan: submission.plan.digest(),
            requester: Cow::Borrowed(requester),
            request: Cow::Borrowed(request),
            key: key.map(|key| (key.text().to_owned(), key.asked())),
        };
        let request = match serde_json::to_string(&body) {
            Ok(request) => request,
            Err(error) => return tell(Err(StoreError::Database(error.to_string()).into())),
        };
        let aside = Aside::of(self);
        self.keeper.forward(Outgoing {
            request: Forwarded {
                flow,
                project_id,
                request,
            },
            note,
            has_key: key.is_some(),
            tried: false,
            tell: Box::new(move |report| {
                drop(aside);
                tell(report);
            }),
        });
    }

    /// Runs the request of another host, in a worker.
    fn run_forwarded(self: &Arc<Self>, forwarded: Forwarded) -> Option<Rest> {
        let Forwarded {
            flow,
            project_id,
            request,
        } = forwarded;
        self.keeper.taken(flow);
        let stay = match &self.territory {
            Some(territory) if !self.stopping.load(Ordering::SeqCst) => {
                territory.enter(partition_of(&project_id))
            }
            _ => None,
        };
        if stay.is_none() {
            // The next owner takes it.
            self.keeper.settled(flow);
            return None;
        }
        let core = Arc::clone(self);
        let tell: Tell = Box::new(move |report| core.answer_forwarded(flow, report));
        match self.opened(&request) {
            Ok(submission) => {
                // Who asked for it follows it in the database.
                self.run_here(flow, submission, stay, Caller::passing(tell))
            }
            Err(error) => {
                tell(Err(error));
                None
            }
        }
    }

    /// Reads a request from the inbox, and prepares its plan.
    fn opened(&self, request: &str) -> Result<Submission, HostError> {
        let body: Body<'_> = serde_json::from_str(request).map_err(|error| {
            Diagnostic::new(format!("the forwarded request is damaged: {error}"))
                .help("both hosts must be of the same version of Cairn")
        })?;
        Ok(Submission {
            plan: self.stored(body.plan)?,
            requester: body.requester.into_owned(),
            request: Ok(body.request.into_owned()),
            key: body.key.map(|(text, asked)| Key::stored(text, asked)),
        })
    }

    /// Answers a forwarded request whose flow was not created; the report of one that was is in its journal.
    fn answer_forwarded(&self, flow: FlowId, report: Result<Report, HostError>) {
        let answer = match report {
            Ok(report) if report.flow.id == flow => None,
            Ok(report) => Some(Answer::Instead(report.flow.id)),
            Err(error) => answer_of(error),
        };
        if let (Some(answer), Some(shared)) = (answer, self.store.shared()) {
            let refused = serde_json::to_value(answer)
                .map_err(|error| StoreError::Database(error.to_string()))
                .and_then(|answer| shared.refuse(flow, &answer));
            if let Err(error) = refused {
                tracing::warn!(%flow, %error, "the answer to a forwarded request was not written: the request is taken again");
            }
        }
        self.keeper.settled(flow);
    }
}

/// Returns the answer for an error; `None` when the request is to stay in the inbox, for the next look or the next owner.
fn answer_of(error: HostError) -> Option<Answer> {
    match error {
        error if error.is_anothers() || error.is_final() => None,
        HostError::NotStarted | HostError::Store(StoreError::Elsewhere { .. }) => None,
        HostError::Store(error) if error.is_passing() => None,
        HostError::Store(StoreError::Refused(error)) => Some(Answer::Refused(error)),
        HostError::KeyReused { key, flow } => Some(Answer::KeyReused { key, flow }),
        error => Some(Answer::Failed {
            pid: std::process::id(),
            message: error.to_string(),
            why: error.hindrance(),
        }),
    }
}

/// What a forwarded request comes to that the owner has answered.
pub(super) enum Answered {
    /// The report of this flow.
    Instead(FlowId),
    Failed(HostError),
}

/// Reads the answer of an owner.
pub(super) fn read(answer: &Value) -> Answered {
    match Answer::deserialize(answer) {
        Ok(Answer::Instead(flow)) => Answered::Instead(flow),
        Ok(Answer::KeyReused { key, flow }) => Answered::Failed(HostError::KeyReused { key, flow }),
        Ok(Answer::Refused(error)) => Answered::Failed(StoreError::Refused(error).into()),
        Ok(Answer::Failed { pid, message, why }) => {
            Answered::Failed(HostError::Elsewhere { pid, message, why })
        }
        // Of a newer version.
        Err(error) => Answered::Failed(HostError::Store(StoreError::Database(format!(
            "the host that owns the project answered {answer}, which this version cannot read: {error}"
        )))),
    }
}

/// What became of requests for other hosts.
pub(super) struct Sent {
    /// They are in the inbox, and their flows are followed from now on.
    pub(super) written: Vec<Outgoing>,
    /// They could not be written yet.
    pub(super) left: Vec<Outgoing>,
    /// The reason, if some are left.
    pub(super) result: Result<(), StoreError>,
}

/// Writes requests to the inbox. Those that were refused are told so.
pub(super) fn send(inbox: &mut dyn Inbox, mut outgoing: Vec<Outgoing>) -> Sent {
    let mut written = Vec::new();
    while !outgoing.is_empty() {
        let (most, most_bytes) = TOGETHER;
        let mut bytes = 0;
        let fits = outgoing.iter().take(most).take_while(|one| {
            let fits = bytes < most_bytes;
            bytes += one.request.request.len();
            fits
        });
        let rest = outgoing.split_off(fits.count());
        let page = std::mem::replace(&mut outgoing, rest);
        let requests: Vec<Forwarded> = page.iter().map(|one| one.request.clone()).collect();
        let refused = match inbox.put(&requests) {
            Ok(refused) => refused,
            Err(error) => {
                let mut left = page;
                left.iter_mut().for_each(|one| one.tried = true);
                left.append(&mut outgoing);
                return Sent {
                    written,
                    left,
                    result: Err(error),
                };
            }
        };
        for one in page {
            if refused.contains(&one.request.flow) {
                (one.tell)(Err(StoreError::Refused(full(&one.request)).into()));
            } else {
                written.push(one);
            }
        }
    }
    Sent {
        written,
        left: Vec::new(),
        result: Ok(()),
    }
}

fn full(request: &Forwarded) -> TaskError {
    let most = cairn_store::shared::INBOX_MOST;
    let message = format!(
        "{most} requests of project `{}` wait for the host that owns it: try again later",
        request.project_id
    );
    TaskError::new("InboxFull", message).with("most", most)
}

/// Takes the requests that other hosts have forwarded to this one.
pub(super) fn take(core: &Arc<Core>, inbox: &mut dyn Inbox) -> Result<bool, StoreError> {
    let (Some(territory), Some(shared)) = (&core.territory, core.store.shared()) else {
        return Ok(false);
    };
    if territory.is_empty() || core.stopping.load(Ordering::SeqCst) {
        return Ok(false);
    }
    let (under_way, waiting) = core.keeper.under_way();
    let most = PAGE
        .saturating_sub(waiting)
        .min(UNDER_WAY.saturating_sub(under_way.len()));
    if most == 0 {
        return Ok(true);
    }
    let requests = inbox.open(&under_way, &territory.leaving(), most)?;
    let flows: Vec<FlowId> = requests.iter().map(|request| request.flow).collect();
    if flows.is_empty() {
        return Ok(!under_way.is_empty());
    }
    shared.expect(&flows);
    core.keeper.begin(&flows);
    for request in requests {
        let flow = request.flow;
        let job = Box::new(move |core: &Arc<Core>| core.run_forwarded(request));
        if core.pool.push_job(core, job).is_err() {
            // The host stops; the next owner takes it.
            core.keeper.settled(flow);
        }
    }
    Ok(true)
}
