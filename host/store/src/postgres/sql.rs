//! A link as portable SQL uses it.

use std::cell::{Cell as Flag, RefCell, RefMut};

use cairn_effects::rows::Cell;
use cairn_model::clock::Timestamp;

use super::again::while_lost;
use super::link::{Answer, Link, LinkError, Parameter, READ_ONLY, Step};
use crate::sql::{Impact, Sql, SqlError, quoted};

/// How many milliseconds of a host's lease are left, by the server's clock.
pub(super) const LEASE_LEFT: &str =
    "(1000 * extract(epoch FROM expires_at - clock_timestamp()))::bigint";

/// How often a read whose connection was lost is repeated.
const READS: usize = 5;

/// A link that runs portable SQL, in a transaction or outside of one.
///
/// In a transaction each statement runs in a savepoint of its own, so that one that fails changes nothing and the transaction goes on.
/// Outside of one, a link whose connection was lost connects again, and a read that was under way by then is repeated.
pub struct SqlLink {
    link: RefCell<Link>,
    is_in_transaction: Flag<bool>,
}

impl SqlLink {
    /// Takes a link that has no open transaction.
    pub fn new(link: Link) -> Self {
        Self {
            link: RefCell::new(link),
            is_in_transaction: Flag::new(false),
        }
    }

    /// Returns the link, for what is no portable SQL. A transaction must not be begun or ended by it.
    pub fn link(&self) -> RefMut<'_, Link> {
        self.link.borrow_mut()
    }

    /// Tells whether a transaction is open.
    pub fn is_in_transaction(&self) -> bool {
        self.is_in_transaction.get()
    }

    /// Opens a transaction by `steps`, the first of which is its `BEGIN`.
    ///
    /// # Errors
    /// [`LinkError`], with no transaction open.
    pub fn begin(&self, steps: &[Step<'_>]) -> Result<Vec<Answer>, LinkError> {
        let begun = self.link().send(steps);
        match begun {
            Ok(_) => self.is_in_transaction.set(true),
            Err(_) => self.forget(),
        }
        begun
    }

    /// Commits the open transaction after these steps, which are sent with the `COMMIT`.
    ///
    /// # Errors
    /// [`LinkError`]. No transaction is open then; after [`LinkError::Lost`] it is not known whether it was committed.
    pub fn commit(&self, steps: &[Step<'_>]) -> Result<Vec<Answer>, LinkError> {
        self.is_in_transaction.set(false);
        let mut steps = steps.to_vec();
        steps.push(Step::Commit);
        let committed = self.link().send(&steps);
        if committed.is_err() {
            self.forget();
        }
        committed
    }

    /// Rolls the open transaction back, if there is one.
    pub fn roll_back(&self) {
        if self.is_in_transaction.replace(false) {
            self.forget();
        }
    }

    /// Ends a transaction, whatever its state. A connection on which that fails is not used any more.
    fn forget(&self) {
        self.is_in_transaction.set(false);
        let mut link = self.link();
        if link.is_connected()
            && let Err(error) = link.script("ROLLBACK")
        {
            tracing::debug!(%error, "a transaction ended with its connection");
        }
    }

    /// Runs a statement within `before` and `after`, in one round trip.
    fn run(
        &self,
        before: &[&str],
        statement: &str,
        parameters: &[Cell],
        after: Step<'_>,
    ) -> Result<Answer, LinkError> {
        let mut steps: Vec<Step<'_>> = before.iter().map(|sql| Step::Script(sql)).collect();
        steps.push(Step::Run {
            statement,
            parameters: parameters.iter().map(Parameter::from).collect(),
        });
        steps.push(after);
        let mut answers = self.link().try_send(&steps)?;
        Ok(answers.swap_remove(before.len()))
    }

    /// Runs a statement in a savepoint of the open transaction.
    fn in_savepoint(
        &self,
        before: &[&str],
        statement: &str,
        parameters: &[Cell],
    ) -> Result<Answer, SqlError> {
        // A statement that cannot be prepared fails the transaction, too.
        let is_apart = !self.link().knows(statement);
        let before = match is_apart {
            true => {
                let set = before.join("; ");
                self.link().script(&set).map_err(|error| lost(&error))?;
                &[]
            }
            false => before,
        };
        let release = Step::Script("RELEASE statement");
        let done = self.run(before, statement, parameters, release);
        let error = match done {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let is_set = match &error {
            LinkError::Statement { .. } => true,
            // Nothing was sent with it.
            LinkError::Unfit(_) => is_apart,
            // The savepoint was released behind it.
            LinkError::Unreadable(_) => false,
            LinkError::Lost(_) | LinkError::Refused(_) => return Err(lost(&error)),
        };
        if is_set {
            let undo = "ROLLBACK TO statement; RELEASE statement";
            self.link().script(undo).map_err(|error| lost(&error))?;
        }
        Err(failed(&error, statement))
    }

    /// Connects again when the connection was lost.
    fn revive(&self) -> Result<(), SqlError> {
        let mut link = self.link();
        if link.is_connected() {
            return Ok(());
        }
        let patience = link.target().patience;
        while_lost(patience, || link.reconnect()).map_err(|error| lost(&error))
    }

    fn write(&self, statement: &str, parameters: &[Cell]) -> Result<Answer, SqlError> {
        if self.is_in_transaction() {
            return self.in_savepoint(&["SAVEPOINT statement"], statement, parameters);
        }
        self.revive()?;
        let done = self.run(&["BEGIN"], statement, parameters, Step::Commit);
        done.map_err(|error| failed(&error, statement))
    }

    fn read(&self, statement: &str, parameters: &[Cell]) -> Result<Answer, SqlError> {
        const ONLY_READ: &str = "SET TRANSACTION READ ONLY";
        if self.is_in_transaction() {
            // A savepoint that only reads, in a transaction that may write.
            let before = ["SAVEPOINT statement", ONLY_READ];
            return self.in_savepoint(&before, statement, parameters);
        }
        self.revive()?;
        let read = || self.run(&["BEGIN READ ONLY"], statement, parameters, Step::Commit);
        let mut done = read();
        // Each connection that is made again may be lost again.
        for _ in 0..READS {
            if !matches!(done, Err(LinkError::Lost(_))) {
                break;
            }
            self.revive()?;
            done = read();
        }
        done.map_err(|error| failed(&error, statement))
    }

    fn names(&self, statement: &str, parameters: &[Cell]) -> Result<Vec<String>, SqlError> {
        let rows = self.read(statement, parameters)?.rows;
        let names = rows.into_iter().flatten().filter_map(|cell| match cell {
            Cell::Text(name) => Some(name.to_string()),
            _ => None,
        });
        Ok(names.collect())
    }
}

impl Sql for SqlLink {
    fn query(&self, statement: &str, parameters: &[Cell]) -> Result<Vec<Vec<Cell>>, SqlError> {
        Ok(self.read(statement, parameters)?.rows)
    }

    fn execute(&self, statement: &str, parameters: &[Cell]) -> Result<usize, SqlError> {
        let changed = self.write(statement, parameters)?.changed;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    fn returning(&self, statement: &str, parameters: &[Cell]) -> Result<Vec<Vec<Cell>>, SqlError> {
        Ok(self.write(statement, parameters)?.rows)
    }

    fn savepoint(&self, statement: &str) -> Result<(), SqlError> {
        self.link().script(statement).map_err(|error| lost(&error))
    }

    fn consistently(&self, read: &mut dyn FnMut()) -> Result<(), SqlError> {
        if self.is_in_transaction() {
            read();
            return Ok(());
        }
        let begin = Step::Script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        let patience = self.link().target().patience;
        let begun = while_lost(patience, || {
            if !self.link().is_connected() {
                self.link().reconnect()?;
            }
            self.begin(std::slice::from_ref(&begin))
        });
        begun.map_err(|error| lost(&error))?;
        // Ends the transaction also when `read` panics.
        let _transaction = Transaction(self);
        read();
        Ok(())
    }

    fn tables(&self) -> Result<Vec<String>, SqlError> {
        let statement = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = to_regnamespace('cairn') \
                         ORDER BY relname COLLATE \"C\"";
        self.names(statement, &[])
    }

    fn columns(&self, table: &str) -> Result<Vec<String>, SqlError> {
        let statement = "SELECT attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid \
                         WHERE relnamespace = to_regnamespace('cairn') AND relname = $1 AND attnum > 0 AND NOT attisdropped \
                         ORDER BY attnum";
        self.names(statement, &[Cell::from(table)])
    }

    fn key(&self, table: &str) -> Result<Vec<String>, SqlError> {
        let statement = "SELECT attname FROM pg_index JOIN pg_class c ON c.oid = indrelid \
                         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (indkey) \
                         WHERE relnamespace = to_regnamespace('cairn') AND relname = $1 AND indisprimary \
                         ORDER BY array_position(indkey::int2[], a.attnum)";
        self.names(statement, &[Cell::from(table)])
    }

    fn lease_left(&self, _now: Timestamp) -> String {
        LEASE_LEFT.to_owned()
    }

    fn widest(&self, table: &str) -> Result<u64, SqlError> {
        // Bytes are counted as the hexadecimal digits that they are in text.
        let statement = format!(
            "SELECT coalesce(max(octet_length(t::text)), 0) FROM {} t",
            quoted(table)
        );
        let found = (self as &dyn Sql).scalar(&statement, &[])?;
        Ok(match found {
            Some(Cell::Int(bytes)) => u64::try_from(bytes).unwrap_or(0),
            _ => 0,
        })
    }
}

/// A transaction of reads, which ends when this is dropped.
struct Transaction<'l>(&'l SqlLink);

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        self.0.roll_back();
    }
}

fn lost(error: &LinkError) -> SqlError {
    SqlError {
        message: error.to_string(),
        impact: Impact::Lost,
    }
}

/// Translates an error of a statement whose changes, if any, were taken back.
fn failed(error: &LinkError, statement: &str) -> SqlError {
    match error {
        LinkError::Lost(_) | LinkError::Refused(_) => lost(error),
        _ if error.code() == Some(READ_ONLY) => SqlError::harmless(format!(
            "a statement that writes cannot be used to read: {statement}"
        )),
        LinkError::Statement { .. } | LinkError::Unfit(_) | LinkError::Unreadable(_) => {
            SqlError::harmless(error.to_string())
        }
    }
}
