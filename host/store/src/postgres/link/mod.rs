//! One connection to PostgreSQL: it connects and connects again, keeps prepared statements, and sends several statements in one round trip.
//!
//! A link has a runtime of its own and drives its connection while a function of it runs, so that it sees notices. One thread uses it at a
//! time. After [`LinkError::Lost`] the link is not connected, until [`Link::reconnect`] succeeds.

mod drive;
pub(super) mod error;
pub(super) mod kind;
mod value;

pub use error::LinkError;
pub(super) use error::{LOCK_TIMEOUT, READ_ONLY};
pub use kind::{ADMIN, FETCHER, HINTS, INBOX, READER, Session, WATCHER, WRITER};
pub use value::Parameter;

use std::sync::Arc;
use std::time::Duration;

use hashlink::LruCache;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, Connection, Socket, Statement};

use cairn_effects::rows::Cell;

use super::connect::{self, Target};
use super::tls::Stream;
use drive::{Driven, InOrder, Notices};

/// How many prepared statements a session keeps.
const STATEMENTS: usize = 256;

/// How long a server may be silent while an answer is due, unless a caller says otherwise.
const SILENCE: Duration = Duration::from_secs(60);

/// A part of what is sent in one round trip.
#[derive(Clone, Debug)]
pub enum Step<'a> {
    /// SQL without parameters, such as `BEGIN`, by the simple protocol; several statements of it are one transaction of their own. Its
    /// rows are not read.
    Script(&'a str),
    /// A prepared statement.
    Run {
        /// Its text, by which it is kept.
        statement: &'a str,
        /// `$1` and so on.
        parameters: Vec<Parameter<'a>>,
    },
    /// `COMMIT`. A warning while it is under way makes the connection count as lost: the transaction may not be where the server's settings
    /// promise it is.
    Commit,
}

impl<'a> Step<'a> {
    /// Returns the step that runs a statement with these parameters.
    pub fn run(statement: &'a str, parameters: &'a [Cell]) -> Self {
        Self::Run {
            statement,
            parameters: parameters.iter().map(Parameter::from).collect(),
        }
    }
}

/// What a step answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The rows; none of a script.
    pub rows: Vec<Vec<Cell>>,
    /// How many rows were changed, or read.
    pub changed: u64,
}

/// Sends steps on a connection that is made when it is needed.
pub trait Sender {
    /// Sends all steps at once, and returns what each answered.
    ///
    /// # Errors
    /// As [`Link::send`].
    fn send(&self, steps: &[Step<'_>]) -> Result<Vec<Answer>, LinkError>;

    /// Runs one statement.
    ///
    /// # Errors
    /// As [`Link::send`].
    fn run(&self, statement: &str, parameters: &[Cell]) -> Result<Answer, LinkError> {
        let step = Step::run(statement, parameters);
        Ok(self.send(&[step])?.pop().unwrap_or_default())
    }
}

/// A connection that is made.
struct Connected {
    client: Client,
    connection: Connection<Socket, Stream>,
    statements: LruCache<String, Statement>,
}

/// A connection to PostgreSQL.
pub struct Link {
    target: Arc<Target>,
    session: &'static Session,
    /// `None` only while the link is dropped.
    runtime: Option<Runtime>,
    connected: Option<Connected>,
    silence: Duration,
    notices: Notices,
}

impl Link {
    /// Connects to the first of the target's hosts that can be written to.
    ///
    /// # Errors
    /// [`LinkError::Lost`] when trying again may help; [`LinkError::Refused`].
    pub fn connect(target: &Arc<Target>, session: &'static Session) -> Result<Self, LinkError> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| LinkError::Lost(format!("no runtime for a connection: {error}")))?;
        let mut link = Self {
            target: Arc::clone(target),
            session,
            runtime: Some(runtime),
            connected: None,
            silence: SILENCE,
            notices: Notices::default(),
        };
        link.reconnect()?;
        Ok(link)
    }

    /// Drops the connection, if there is one, and makes another. Tries each host once.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect).
    pub fn reconnect(&mut self) -> Result<(), LinkError> {
        self.connected = None;
        self.notices = Notices::default();
        let prepared = self.target.prepare()?;
        let connecting = connect::connect(&self.target, &prepared, self.session);
        let (client, connection) = runtime(&self.runtime)?.block_on(connecting)?;
        self.connected = Some(Connected {
            client,
            connection,
            statements: LruCache::new(STATEMENTS),
        });
        match self.session.only_reads {
            // Not as the session starts: a host is taken only when it can be written to.
            true => self.script("SET default_transaction_read_only = on"),
            false => Ok(()),
        }
    }

    /// Returns what the link connects to.
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// Tells whether the connection was good when it was last used.
    pub fn is_connected(&self) -> bool {
        self.connected.is_some()
    }

    /// Tells whether a statement is prepared.
    pub(super) fn knows(&self, statement: &str) -> bool {
        let connected = self.connected.as_ref();
        connected.is_some_and(|connected| connected.statements.peek(statement).is_some())
    }

    /// Sets how long the server may be silent while an answer is due, before the connection counts as lost. One minute, unless set.
    pub fn set_silence(&mut self, silence: Duration) {
        self.silence = silence;
    }

    /// Sends all steps at once, and returns what each answered. Statements that are not known yet are prepared in one round trip before.
    ///
    /// The steps are no transaction unless they say `BEGIN`. When one fails the server goes on with the next; inside of a transaction it
    /// refuses them all, and takes `COMMIT` for `ROLLBACK`.
    ///
    /// # Errors
    /// That of the first step that failed. After [`LinkError::Unfit`] nothing was sent.
    pub fn send(&mut self, steps: &[Step<'_>]) -> Result<Vec<Answer>, LinkError> {
        match self.try_send(steps) {
            // The server is not the primary any more.
            Err(LinkError::Statement { code, message })
                if code == READ_ONLY && !self.session.only_reads =>
            {
                self.connected = None;
                Err(LinkError::Lost(message))
            }
            sent => sent,
        }
    }

    /// [`send`](Self::send) for steps that may be refused as they write in a transaction that only reads.
    ///
    /// # Errors
    /// Those.
    pub(super) fn try_send(&mut self, steps: &[Step<'_>]) -> Result<Vec<Answer>, LinkError> {
        let statements = self.prepare(steps)?;
        let commits = steps.iter().any(|step| matches!(step, Step::Commit));
        let Connected {
            client, connection, ..
        } = connected(&mut self.connected)?;
        let steps = steps.iter().zip(&statements);
        let steps = steps.map(|(step, statement)| drive::run(client, step, statement.as_ref()));
        let work = InOrder::new(steps);
        let driven = drive::drive(connection, &mut self.notices, self.silence, work, commits);
        let driven = runtime(&self.runtime)?.block_on(driven);
        self.settle(commits, driven)
    }

    /// Runs one statement outside of a transaction, or in the one that is open.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn run(&mut self, statement: &str, parameters: &[Cell]) -> Result<Answer, LinkError> {
        let step = Step::run(statement, parameters);
        Ok(self.send(&[step])?.pop().unwrap_or_default())
    }

    /// Runs SQL without parameters, as [`Step::Script`] does.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn script(&mut self, sql: &str) -> Result<(), LinkError> {
        self.send(&[Step::Script(sql)]).map(drop)
    }

    /// Waits at most this long for a notification on a channel that the session listens on, and tells whether there was one since this was
    /// asked last.
    ///
    /// # Errors
    /// [`LinkError::Lost`].
    pub fn wait(&mut self, most: Duration) -> Result<bool, LinkError> {
        if !self.notices.is_notified {
            let connected = connected(&mut self.connected)?;
            let waited = runtime(&self.runtime)?.block_on(drive::listen(
                &mut connected.connection,
                &mut self.notices,
                most,
            ));
            if let Err(error) = waited {
                self.connected = None;
                return Err(error);
            }
        }
        Ok(std::mem::take(&mut self.notices.is_notified))
    }

    /// Returns the prepared statement of each step that has one, once all parameters fit.
    fn prepare(&mut self, steps: &[Step<'_>]) -> Result<Vec<Option<Statement>>, LinkError> {
        let mut texts: Vec<&str> = Vec::new();
        let known = &connected(&mut self.connected)?.statements;
        for step in steps {
            let (text, is_kept) = match step {
                Step::Run { statement, .. } => (*statement, true),
                Step::Script(text) => (*text, false),
                Step::Commit => continue,
            };
            if text.contains('\0') {
                return Err(LinkError::Unfit("SQL with the character NUL".to_owned()));
            }
            if is_kept && known.peek(text).is_none() && !texts.contains(&text) {
                texts.push(text);
            }
        }
        let mut new = Vec::new();
        if !texts.is_empty() {
            let Connected {
                client, connection, ..
            } = connected(&mut self.connected)?;
            let work = InOrder::new(texts.iter().map(|text| drive::prepare(client, text)));
            let driven = drive::drive(connection, &mut self.notices, self.silence, work, false);
            let driven = runtime(&self.runtime)?.block_on(driven);
            new = self.settle(false, driven)?;
        }
        let known = &mut connected(&mut self.connected)?.statements;
        let mut prepared = Vec::with_capacity(steps.len());
        for step in steps {
            let Step::Run {
                statement,
                parameters,
            } = step
            else {
                prepared.push(None);
                continue;
            };
            let found = known.get(*statement).cloned().or_else(|| {
                let at = texts.iter().position(|text| text == statement)?;
                new.get(at).cloned()
            });
            let found =
                found.ok_or_else(|| LinkError::Unfit("a statement was not prepared".to_owned()))?;
            value::check(parameters, found.params()).map_err(LinkError::Unfit)?;
            prepared.push(Some(found));
        }
        for (text, statement) in texts.into_iter().zip(new) {
            known.insert(text.to_owned(), statement);
        }
        Ok(prepared)
    }

    /// Sees to what an outcome means for the connection.
    fn settle<T>(&mut self, commits: bool, driven: Driven<T>) -> Result<Vec<T>, LinkError> {
        let doubt = self.notices.doubt.take().filter(|_| commits);
        let result = match (driven.result, doubt) {
            (Ok(_), Some(doubt)) => Err(LinkError::Lost(doubt)),
            (result, _) => result,
        };
        match &result {
            Err(LinkError::Lost(_)) => self.connected = None,
            _ if driven.is_over => self.connected = None,
            // The plan's columns are not the table's any more, or the server has forgotten the statement.
            Err(LinkError::Statement { code, .. }) if matches!(&**code, "0A000" | "26000") => {
                if let Some(connected) = &mut self.connected {
                    connected.statements.clear();
                }
            }
            _ => {}
        }
        result
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.connected = None;
        // A look-up of a host's name may still run in a thread; it is not waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn runtime(runtime: &Option<Runtime>) -> Result<&Runtime, LinkError> {
    let gone = || LinkError::Lost("the connection is closed".to_owned());
    runtime.as_ref().ok_or_else(gone)
}

fn connected(connected: &mut Option<Connected>) -> Result<&mut Connected, LinkError> {
    let gone = || LinkError::Lost("the connection to the database is lost".to_owned());
    connected.as_mut().ok_or_else(gone)
}
