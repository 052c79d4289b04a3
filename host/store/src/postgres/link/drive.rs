//! Driving a connection: requests go out in order before the first answer is awaited, and notices are read on the way.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use cairn_model::crash::{CrashPoint, reach};
use futures_core::Stream as _;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::error::Severity;
use tokio_postgres::{AsyncMessage, Client, Connection, Socket, Statement};

use super::error::{chain, sorted, words};
use super::value::Read;
use super::{Answer, LinkError, Step};
use crate::postgres::tls::Stream;

/// Codes of warnings that cast doubt on a commit: waiting for a standby was cancelled, or cut short by the end of the session.
const DOUBTS: &[&str] = &["01000", "57P01"];

/// What a server said unasked.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// A warning about the transaction that ends.
    pub(super) doubt: Option<String>,
    /// A notification came.
    pub(super) is_notified: bool,
}

impl Notices {
    fn take(&mut self, message: AsyncMessage) {
        match message {
            AsyncMessage::Notice(notice) => {
                let code = notice.code().code();
                tracing::debug!(code, notice = notice.message(), "PostgreSQL says");
                if notice.parsed_severity() == Some(Severity::Warning) && DOUBTS.contains(&code) {
                    self.doubt = Some(format!(
                        "the server warned while it committed: {}",
                        words(&notice)
                    ));
                }
            }
            AsyncMessage::Notification(_) => self.is_notified = true,
            _ => {}
        }
    }
}

type Answering<'a, T> = Pin<Box<dyn Future<Output = Result<T, LinkError>> + 'a>>;

/// Requests that are all sent before the first is answered.
pub(super) struct InOrder<'a, T> {
    requests: Vec<Answering<'a, T>>,
    answers: Vec<Option<Result<T, LinkError>>>,
    /// All before it are answered.
    next: usize,
    is_sent: bool,
}

impl<'a, T> InOrder<'a, T> {
    pub(super) fn new<F: Future<Output = Result<T, LinkError>> + 'a>(
        requests: impl Iterator<Item = F>,
    ) -> Self {
        let requests: Vec<Answering<'a, T>> =
            requests.map(|request| Box::pin(request) as _).collect();
        Self {
            answers: requests.iter().map(|_| None).collect(),
            requests,
            next: 0,
            is_sent: false,
        }
    }
}

impl<T> InOrder<'_, T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<T>, LinkError>> {
        if !std::mem::replace(&mut self.is_sent, true) {
            // A request is queued when it is first polled.
            for (request, answer) in self.requests.iter_mut().zip(&mut self.answers) {
                if let Poll::Ready(answered) = request.as_mut().poll(cx) {
                    *answer = Some(answered);
                }
            }
        }
        // Answers come in order, so only the next one can be there.
        while let Some(answer) = self.answers.get_mut(self.next) {
            if answer.is_none() {
                match self.requests[self.next].as_mut().poll(cx) {
                    Poll::Ready(answered) => *answer = Some(answered),
                    Poll::Pending => return Poll::Pending,
                }
            }
            self.next += 1;
        }
        Poll::Ready(self.answers.drain(..).flatten().collect())
    }
}

/// What came of requests.
pub(super) struct Driven<T> {
    /// Their answers.
    pub(super) result: Result<Vec<T>, LinkError>,
    /// The connection has ended.
    pub(super) is_over: bool,
}

/// Drives the connection until all requests are answered. `is_batch`: they end with a commit.
pub(super) async fn drive<T>(
    connection: &mut Connection<Socket, Stream>,
    notices: &mut Notices,
    silence: Duration,
    mut work: InOrder<'_, T>,
    mut is_batch: bool,
) -> Driven<T> {
    notices.doubt = None;
    let mut patience = pin!(sleep(silence));
    let done = |result, is_over| Poll::Ready(Driven { result, is_over });
    poll_fn(|cx| {
        if let Poll::Ready(result) = work.poll(cx) {
            return done(result, false);
        }
        let over = pump(connection, notices, cx);
        if std::mem::take(&mut is_batch) {
            reach(CrashPoint::BatchSent);
        }
        // Answers that came before the end of the connection count.
        if let Poll::Ready(result) = work.poll(cx) {
            return done(result, over.is_some());
        }
        if let Some(error) = over {
            return done(Err(error), true);
        }
        if patience.as_mut().poll(cx).is_ready() {
            let silence = humantime::format_duration(silence);
            let silent = format!("the server has not answered for {silence}");
            return done(Err(LinkError::Lost(silent)), true);
        }
        // The socket woke the task: there is progress. The new deadline has to be polled once to be waited for.
        patience.as_mut().reset(Instant::now() + silence);
        let _ = patience.as_mut().poll(cx);
        Poll::Pending
    })
    .await
}

/// Drives the connection until a notification comes, or the time is over.
pub(super) async fn listen(
    connection: &mut Connection<Socket, Stream>,
    notices: &mut Notices,
    most: Duration,
) -> Result<(), LinkError> {
    let notified = poll_fn(|cx| {
        if let Some(error) = pump(connection, notices, cx) {
            return Poll::Ready(Err(error));
        }
        match notices.is_notified {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    });
    timeout(most, notified).await.unwrap_or(Ok(()))
}

/// Reads and writes what can be. Returns why the connection is over, if it is.
fn pump(
    connection: &mut Connection<Socket, Stream>,
    notices: &mut Notices,
    cx: &mut Context<'_>,
) -> Option<LinkError> {
    loop {
        match connection.poll_message(cx) {
            Poll::Pending => return None,
            Poll::Ready(Some(Ok(message))) => notices.take(message),
            Poll::Ready(Some(Err(error))) => return Some(LinkError::Lost(lost(&error))),
            Poll::Ready(None) => {
                return Some(LinkError::Lost(
                    "the server closed the connection".to_owned(),
                ));
            }
        }
    }
}

fn lost(error: &tokio_postgres::Error) -> String {
    match error.is_closed() {
        true => "the server closed the connection".to_owned(),
        false => chain(error),
    }
}

/// Prepares a statement.
pub(super) async fn prepare(client: &Client, statement: &str) -> Result<Statement, LinkError> {
    let prepared = client.prepare(statement).await;
    prepared.map_err(|error| sorted(&error))
}

/// Runs a step.
pub(super) async fn run(
    client: &Client,
    step: &Step<'_>,
    statement: Option<&Statement>,
) -> Result<Answer, LinkError> {
    let script = match (step, statement) {
        (Step::Run { parameters, .. }, Some(statement)) => {
            let rows = client.query_raw(statement, parameters).await;
            return read(rows.map_err(|error| sorted(&error))?).await;
        }
        (Step::Script(text), _) => text,
        (Step::Commit, _) => "COMMIT",
        (Step::Run { .. }, None) => {
            return Err(LinkError::Unfit("a statement was not prepared".to_owned()));
        }
    };
    let done = client.batch_execute(script).await;
    done.map(|()| Answer::default())
        .map_err(|error| sorted(&error))
}

async fn read(rows: tokio_postgres::RowStream) -> Result<Answer, LinkError> {
    let mut rows = pin!(rows);
    let mut answer = Answer::default();
    let mut unreadable = None;
    while let Some(row) = poll_fn(|cx| rows.as_mut().poll_next(cx)).await {
        let row = row.map_err(|error| sorted(&error))?;
        let cells = (0..row.len()).map(|at| row.try_get(at).map(|Read(cell)| cell));
        match cells.collect() {
            Ok(cells) => answer.rows.push(cells),
            Err(error) => unreadable = unreadable.or(Some(chain(&error))),
        }
    }
    if let Some(problem) = unreadable {
        return Err(LinkError::Unreadable(problem));
    }
    answer.changed = rows.rows_affected().unwrap_or(0);
    Ok(answer)
}
