//! A connection as portable SQL uses it. That of the writer opens a transaction only when a statement needs one: a batch is sent whole at
//! its end, but an operator's statements run one after another.

use std::cell::{Cell as Shared, RefCell};
use std::sync::Arc;

use cairn_effects::rows::Cell;

use super::connect::Target;
use super::link::{Answer, Link, LinkError, Session as SessionKind, Step, WRITER};
use crate::sql::{Impact, Sql, SqlError};

/// Where a session is with respect to transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// No batch is open: statements that write are refused.
    Idle,
    /// A batch is open. Nothing of it was sent.
    Batch,
    /// A transaction is open on the server, which began with the fence.
    Transaction,
}

/// A connection with its transaction.
pub(super) struct Session {
    target: Arc<Target>,
    kind: &'static SessionKind,
    /// Made when it is first used.
    link: RefCell<Option<Link>>,
    state: Shared<State>,
    /// The fence of the open batch: the statement that a transaction begins with.
    fence: RefCell<Vec<Cell>>,
}

/// The statement that begins each batch: see `fence` in the schema.
pub(super) const FENCE: &str = "SELECT fence($1, $2, $3, $4)";

/// Begins a transaction whose reads see one state of the database.
pub(super) const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

impl Session {
    /// Takes the writer's link.
    pub(super) fn new(link: Link) -> Self {
        let session = Self::later(Arc::clone(link.target()), &WRITER);
        session.link.replace(Some(link));
        session
    }

    /// Creates a session that connects when it is first used.
    pub(super) fn later(target: Arc<Target>, kind: &'static SessionKind) -> Self {
        Self {
            target,
            kind,
            link: RefCell::new(None),
            state: Shared::new(State::Idle),
            fence: RefCell::new(Vec::new()),
        }
    }

    pub(super) fn state(&self) -> State {
        self.state.get()
    }

    pub(super) fn set_state(&self, state: State) {
        self.state.set(state);
    }

    /// Opens a batch, whose transaction is to begin with this fence.
    pub(super) fn open(&self, fence: Vec<Cell>) {
        self.fence.replace(fence);
        self.state.set(State::Batch);
    }

    /// Sends steps, on a new connection if the last one was lost outside of a transaction.
    pub(super) fn send(&self, steps: &[Step<'_>]) -> Result<Vec<Answer>, LinkError> {
        if self.state.get() != State::Transaction {
            self.connect()?;
        }
        self.send_in_batch(steps)
    }

    /// Sends steps on the connection that there is.
    pub(super) fn send_in_batch(&self, steps: &[Step<'_>]) -> Result<Vec<Answer>, LinkError> {
        match self.link.borrow_mut().as_mut() {
            Some(link) => link.send(steps),
            None => Err(LinkError::Lost("there is no connection yet".to_owned())),
        }
    }

    /// Connects unless there is a connection.
    fn connect(&self) -> Result<(), LinkError> {
        let mut link = self.link.borrow_mut();
        match link.as_mut() {
            Some(link) if link.is_connected() => Ok(()),
            Some(link) => link.reconnect(),
            None => {
                *link = Some(Link::connect(&self.target, self.kind)?);
                Ok(())
            }
        }
    }

    /// Drops the connection and makes another.
    pub(super) fn reconnect(&self) -> Result<(), LinkError> {
        match self.link.borrow_mut().as_mut() {
            Some(link) => link.reconnect(),
            None => Ok(()),
        }
    }

    /// Runs one statement.
    pub(super) fn run(&self, statement: &str, parameters: &[Cell]) -> Result<Answer, LinkError> {
        let step = Step::run(statement, parameters);
        Ok(self.send(&[step])?.pop().unwrap_or_default())
    }

    /// Begins the transaction of the open batch, unless it has begun.
    fn begin(&self) -> Result<(), SqlError> {
        match self.state.get() {
            State::Transaction => Ok(()),
            State::Idle => Err(SqlError::harmless(
                "a statement that writes was run outside of a batch",
            )),
            State::Batch => {
                let fence = self.fence.borrow();
                let steps = [Step::Script("BEGIN"), Step::run(FENCE, &fence)];
                self.send(&steps).map_err(|error| SqlError {
                    message: error.to_string(),
                    impact: Impact::Lost,
                })?;
                self.state.set(State::Transaction);
                Ok(())
            }
        }
    }

    fn translated(&self, error: LinkError) -> SqlError {
        let impact = match (&error, self.state.get()) {
            (LinkError::Unfit(_) | LinkError::Unreadable(_), _) => Impact::None,
            (LinkError::Statement { .. }, State::Idle | State::Batch) => Impact::None,
            _ => Impact::Lost,
        };
        SqlError {
            message: error.to_string(),
            impact,
        }
    }
}

impl Sql for Session {
    fn query(&self, statement: &str, parameters: &[Cell]) -> Result<Vec<Vec<Cell>>, SqlError> {
        // The writer's session cannot be made to refuse writes for one statement.
        let first = statement.trim_start().get(..6).unwrap_or_default();
        if !first.eq_ignore_ascii_case("SELECT") {
            let message = format!("a statement that writes cannot be used to read: {statement}");
            return Err(SqlError::harmless(message));
        }
        let answer = self.run(statement, parameters);
        answer
            .map(|answer| answer.rows)
            .map_err(|error| self.translated(error))
    }

    fn execute(&self, statement: &str, parameters: &[Cell]) -> Result<usize, SqlError> {
        self.begin()?;
        let answer = self.run(statement, parameters);
        answer
            .map(|answer| usize::try_from(answer.changed).unwrap_or(usize::MAX))
            .map_err(|error| self.translated(error))
    }

    fn returning(&self, statement: &str, parameters: &[Cell]) -> Result<Vec<Vec<Cell>>, SqlError> {
        self.begin()?;
        let answer = self.run(statement, parameters);
        answer
            .map(|answer| answer.rows)
            .map_err(|error| self.translated(error))
    }

    fn consistently(&self, read: &mut dyn FnMut()) -> Result<(), SqlError> {
        if self.state.get() == State::Transaction {
            read();
            return Ok(());
        }
        let script = |sql| self.send(&[Step::Script(sql)]);
        script(SNAPSHOT).map_err(|error| self.translated(error))?;
        let snapshot = Snapshot(self);
        read();
        drop(snapshot);
        Ok(())
    }

    fn tables(&self) -> Result<Vec<String>, SqlError> {
        let statement = "SELECT tablename FROM pg_tables WHERE schemaname = 'cairn' ORDER BY tablename COLLATE \"C\"";
        Ok(texts(self.query(statement, &[])?))
    }

    fn columns(&self, table: &str) -> Result<Vec<String>, SqlError> {
        let statement = "SELECT attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
                         JOIN pg_namespace ON pg_namespace.oid = relnamespace
                         WHERE nspname = 'cairn' AND relname = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
        Ok(texts(self.query(statement, &[table.into()])?))
    }
}

/// A transaction of reads, which ends when this is dropped.
struct Snapshot<'s>(&'s Session);

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.send(&[Step::Script("COMMIT")]) {
            tracing::debug!(%error, "a transaction of reads was not ended");
        }
    }
}

fn texts(rows: Vec<Vec<Cell>>) -> Vec<String> {
    let cells = rows.into_iter().flatten();
    let texts = cells.filter_map(|cell| match cell {
        Cell::Text(text) => Some(text.to_string()),
        _ => None,
    });
    texts.collect()
}
