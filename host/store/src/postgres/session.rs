//! The connection of a process that writes batches. It opens a transaction only when a statement needs one: a batch is sent whole at its
//! end, but an operator's statements run one after another.

use std::cell::{OnceCell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use cairn_effects::rows::Cell;
use cairn_model::clock::Timestamp;

use super::again::while_lost;
use super::connect::Target;
use super::lend::Lending;
use super::link::{ADMIN, Answer, Link, LinkError, Sender, Session as Kind, Step, WRITER};
use super::sql::{LEASE_LEFT, SqlLink};
use crate::partitions::Partitions;
use crate::sql::{Impact, Owning, Sql, SqlError};

/// The statement that begins each batch: see `fence` in the schema.
pub(super) const FENCE: &str = "SELECT fence($1, $2, $3, $4)";

/// Begins a transaction whose reads see one state of the database.
pub(super) const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// The progress of a session's batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// No batch is open: statements that write are refused.
    Idle,
    /// A batch is open. Nothing of it was sent.
    Batch,
    /// A transaction is open on the server, which began with the fence.
    Transaction,
}

/// A connection, made when it is first used, and the batch that is open on it.
pub(super) struct Session {
    target: Arc<Target>,
    kind: &'static Kind,
    sql: OnceCell<SqlLink>,
    /// The fence of the open batch.
    fence: RefCell<Option<Vec<Cell>>>,
    lending: RefCell<Lending>,
}

impl Session {
    /// Takes the writer's link.
    pub(super) fn new(link: Link) -> Self {
        let session = Self::later(Arc::clone(link.target()), &WRITER);
        let _ = session.sql.set(SqlLink::new(link));
        session
    }

    /// Creates a session that connects when it is first used.
    pub(super) fn later(target: Arc<Target>, kind: &'static Kind) -> Self {
        Self {
            target,
            kind,
            sql: OnceCell::new(),
            fence: RefCell::new(None),
            lending: RefCell::default(),
        }
    }

    fn sql(&self) -> Result<&SqlLink, LinkError> {
        if let Some(sql) = self.sql.get() {
            return Ok(sql);
        }
        let link = Link::connect(&self.target, self.kind)?;
        Ok(self.sql.get_or_init(|| SqlLink::new(link)))
    }

    fn sql_or_lost(&self) -> Result<&SqlLink, SqlError> {
        self.sql().map_err(lost)
    }

    pub(super) fn state(&self) -> State {
        let in_transaction = self.sql.get().is_some_and(SqlLink::is_in_transaction);
        match (in_transaction, self.fence.borrow().is_some()) {
            (true, _) => State::Transaction,
            (false, true) => State::Batch,
            (false, false) => State::Idle,
        }
    }

    /// Sets what an operator's change needs to know about other hosts.
    pub(super) fn set_lending(&self, lending: Lending) {
        self.lending.replace(lending);
    }

    /// Returns the partitions that an operator's change has claimed, and that are to be given back.
    pub(super) fn take_gained(&self) -> Partitions {
        self.lending.borrow_mut().take_gained()
    }

    /// Opens a batch, whose transaction is to begin with this fence.
    pub(super) fn open(&self, fence: Vec<Cell>) {
        self.fence.replace(Some(fence));
        self.lending.borrow_mut().begin();
    }

    /// Ends the batch. A transaction that is still open is rolled back.
    pub(super) fn close(&self) {
        self.fence.replace(None);
        if let Some(sql) = self.sql.get() {
            sql.roll_back();
        }
    }

    /// Commits the open transaction after these steps.
    pub(super) fn commit(&self, steps: &[Step<'_>]) -> Result<Vec<Answer>, LinkError> {
        self.sql()?.commit(steps)
    }

    /// Sends steps like [`send`](Sender::send), but tries to connect only once.
    pub(super) fn try_send(&self, steps: &[Step<'_>]) -> Result<Vec<Answer>, LinkError> {
        self.send_within(Duration::ZERO, steps)
    }

    fn send_within(
        &self,
        patience: Duration,
        steps: &[Step<'_>],
    ) -> Result<Vec<Answer>, LinkError> {
        let sql = self.sql()?;
        let mut link = sql.link();
        if !link.is_connected() && !sql.is_in_transaction() {
            while_lost(patience, || link.reconnect())?;
        }
        link.send(steps)
    }

    /// Drops the connection and makes another.
    pub(super) fn reconnect(&self) -> Result<(), LinkError> {
        self.sql()?.link().reconnect()
    }

    /// Begins the transaction of the open batch, unless it has begun.
    fn begin(&self) -> Result<&SqlLink, SqlError> {
        let sql = self.sql_or_lost()?;
        if sql.is_in_transaction() {
            return Ok(sql);
        }
        let fence = self.fence.borrow();
        let Some(fence) = fence.as_deref() else {
            return Err(SqlError::harmless(
                "a statement that writes was run outside of a batch",
            ));
        };
        let begin = || sql.begin(&[Step::Script("BEGIN"), Step::run(FENCE, fence)]);
        let begun = match begin() {
            // Nothing was written yet.
            Err(LinkError::Lost(_)) => while_lost(self.target.patience, || {
                self.reconnect().and_then(|()| begin())
            }),
            begun => begun,
        };
        begun.map_err(lost)?;
        Ok(sql)
    }
}

/// On a new connection if the last one was lost outside of a transaction, for which it waits.
impl Sender for Session {
    fn send(&self, steps: &[Step<'_>]) -> Result<Vec<Answer>, LinkError> {
        self.send_within(self.target.patience, steps)
    }
}

fn lost(error: LinkError) -> SqlError {
    SqlError {
        message: error.to_string(),
        impact: Impact::Lost,
    }
}

impl Sql for Session {
    fn query(&self, statement: &str, parameters: &[Cell]) -> Result<Vec<Vec<Cell>>, SqlError> {
        self.sql_or_lost()?.query(statement, parameters)
    }

    fn execute(&self, statement: &str, parameters: &[Cell]) -> Result<usize, SqlError> {
        self.begin()?.execute(statement, parameters)
    }

    fn returning(&self, statement: &str, parameters: &[Cell]) -> Result<Vec<Vec<Cell>>, SqlError> {
        self.begin()?.returning(statement, parameters)
    }

    fn savepoint(&self, statement: &str) -> Result<(), SqlError> {
        self.begin()?.savepoint(statement)
    }

    fn own(&self, project_id: &str) -> Result<Owning, SqlError> {
        let me = self.fence.borrow().iter().flatten().next().cloned();
        let me = me.unwrap_or(Cell::Null);
        let beside = Self::later(self.target.without_patience(), &ADMIN);
        self.lending.borrow_mut().own(&beside, me, project_id)
    }

    fn consistently(&self, read: &mut dyn FnMut()) -> Result<(), SqlError> {
        self.sql_or_lost()?.consistently(read)
    }

    fn tables(&self) -> Result<Vec<String>, SqlError> {
        self.sql_or_lost()?.tables()
    }

    fn columns(&self, table: &str) -> Result<Vec<String>, SqlError> {
        self.sql_or_lost()?.columns(table)
    }

    fn key(&self, table: &str) -> Result<Vec<String>, SqlError> {
        self.sql_or_lost()?.key(table)
    }

    fn lease_left(&self, _now: Timestamp) -> String {
        LEASE_LEFT.to_owned()
    }

    fn widest(&self, table: &str) -> Result<u64, SqlError> {
        self.sql_or_lost()?.widest(table)
    }
}
