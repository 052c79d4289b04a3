//! Fills an empty database on a server with the rows of a database in a file: a restore, or a move.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use cairn_effects::rows::Cell;
use cairn_model::clock::Clock;
use cairn_model::error::TaskError;

use super::link::{ADMIN, LOCK_TIMEOUT, Link, LinkError, Parameter, READER, Step};
use super::sql::SqlLink;
use super::{PostgresConfig, open};
use crate::StoreError;
use crate::copy::{self, Copied, Empty};
use crate::operators::{components, held};
use crate::sql::{Columns, Sql, quoted};
use crate::sqlite::components::{self as old, FOLDER};
use crate::sqlite::{DatabaseFile, FileReader, SqliteConfig, Still};

/// How long a statement that reads or writes many rows may take.
pub(super) const SILENCE: Duration = Duration::from_secs(15 * 60);

/// Keeps other hosts from the database until the transaction ends: a host writes its row first, and each of its batches changes it.
const ALONE: &str = "SET LOCAL lock_timeout = '10s'; LOCK TABLE hosts IN EXCLUSIVE MODE";

/// Restores a backup, a file, to an empty database. The restored database is [held](crate::view::View::held). Flows keep the hosts that
/// ran them, so that the next host recovers them; partitions have no owner. `before_commit` is called once all rows are written and
/// compared: what must be there with them, such as their master key, is put into place then, as a restore that ends before the
/// commit can be repeated.
///
/// # Errors
/// `InvalidInput`, with nothing restored: there is no backup, or its schema is older; the database has rows, or hosts work on it; it lacks
/// tables of the backup. [`StoreError::Database`]: the backup is damaged, the server cannot be used, or what was written is not what
/// was read. No row is kept then, unless the connection breaks during the commit. Those of `before_commit`, with no row kept.
pub fn restore(
    config: &PostgresConfig,
    backup: &Path,
    settings: SqliteConfig,
    clock: Arc<dyn Clock>,
    before_commit: impl FnOnce() -> Result<(), StoreError>,
) -> Result<Copied, StoreError> {
    let file = DatabaseFile::named(backup);
    if !file.exists()? {
        let message = format!("there is no backup at {}", file.path().display());
        return Err(TaskError::new("InvalidInput", message).into());
    }
    let from = FileReader::open(file.path(), settings, clock)?;
    fill(config, &from, &file.beside(FOLDER), true, before_commit)
}

/// Copies a database in a file to an empty database, while no process works on either. The file stays as it is. Components that an older
/// version kept in the folder `components` are stored, too.
///
/// # Errors
/// As [`restore`]; `InvalidInput` also when a process works on the file.
pub fn move_from(
    config: &PostgresConfig,
    database: &Path,
    components: &Path,
    settings: SqliteConfig,
    clock: Arc<dyn Clock>,
) -> Result<Copied, StoreError> {
    let still = Still::hold(database, settings, clock)?;
    fill(config, still.reader(), components, false, || Ok(()))
}

/// Copies all rows in one transaction, and compares both databases. Makes the tables first.
fn fill(
    config: &PostgresConfig,
    from: &FileReader,
    folder: &Path,
    held: bool,
    before_commit: impl FnOnce() -> Result<(), StoreError>,
) -> Result<Copied, StoreError> {
    from.require_newest()?;
    if let Some(problem) = from.check_file()?.problems.first() {
        return Err(StoreError::Database(format!(
            "{} is not sound, and nothing was copied: {problem}",
            from.path().display()
        )));
    }
    let failed = |error: LinkError| StoreError::Database(format!("{}: {error}", config.url));
    refuse_flows(config)?;
    drop(open(config)?);
    let mut link = Link::connect(&config.target(), &ADMIN).map_err(failed)?;
    link.set_silence(SILENCE);
    let sql = SqlLink::new(link);
    let steps = [Step::Script("BEGIN"), Step::Script(ALONE)];
    sql.begin(&steps).map_err(|error| match error.code() {
        Some(LOCK_TIMEOUT) => in_use("a host is being changed"),
        _ => failed(error),
    })?;
    let transaction = Transaction(&sql);
    refuse_hosts(&sql)?;
    let filled = Filled {
        sql: &sql,
        types: RefCell::default(),
    };
    let mut copied = Ok(Copied::default());
    from.sql()
        .consistently(&mut || copied = copy::copy(from.sql(), &filled))?;
    let copied = copied?;
    old::take_in(
        folder,
        |digest| components::is_sound(&sql, digest),
        |component| Ok(components::write(&sql, component)?),
    )?;
    if held {
        held::hold(&sql, from.now())?;
    }
    restart_numbers(&sql)?;
    before_commit()?;
    sql.commit(&[]).map_err(|error| match error {
        LinkError::Lost(reason) => StoreError::Database(format!(
            "{}: the connection was lost during the commit: {reason}; the database holds all rows or none: look with `cairn db check`",
            config.url
        )),
        error => failed(error),
    })?;
    drop(transaction);
    Ok(copied)
}

/// Rolls the transaction back when this is dropped, unless it was committed.
struct Transaction<'l>(&'l SqlLink);

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        self.0.roll_back();
    }
}

/// Refuses a database with flows before its schema is changed.
fn refuse_flows(config: &PostgresConfig) -> Result<(), StoreError> {
    let failed = |error: LinkError| StoreError::Database(format!("{}: {error}", config.url));
    let sql = SqlLink::new(Link::connect(&config.target(), &READER).map_err(failed)?);
    let has_table = sql.tables()?.iter().any(|table| table == "flows");
    if has_table && !sql.query("SELECT 1 FROM flows LIMIT 1", &[])?.is_empty() {
        let message = format!(
            "the database {} is not empty: there are rows in `flows`; name an empty one",
            config.url
        );
        return Err(TaskError::new("InvalidInput", message).into());
    }
    Ok(())
}

/// Refuses a database that hosts work on, and ends those whose lease has expired, so that they write nothing more.
fn refuse_hosts(sql: &SqlLink) -> Result<(), StoreError> {
    let statement = "SELECT name, pid FROM hosts WHERE expires_at > clock_timestamp() LIMIT 1";
    if let Some(row) = sql.query(statement, &[])?.first() {
        let row = Columns(row);
        let host = format!("the host `{}` (process {})", row.text(0)?, row.int(1)?);
        return Err(in_use(&host));
    }
    sql.execute("DELETE FROM hosts", &[])?;
    Ok(())
}

fn in_use(host: &str) -> StoreError {
    let message = format!(
        "{host} works on this database: end it first; the lease of a host that was killed expires after some seconds"
    );
    TaskError::new("InvalidInput", message).into()
}

/// Lets columns that number their rows go on after the copied ones.
fn restart_numbers(sql: &SqlLink) -> Result<(), StoreError> {
    let statement = "SELECT relname, attname FROM pg_class c JOIN pg_attribute ON attrelid = c.oid \
                     WHERE relnamespace = to_regnamespace('cairn') AND relkind = 'r' AND attnum > 0 AND NOT attisdropped \
                     AND pg_get_serial_sequence(format('cairn.%I', relname), attname) IS NOT NULL";
    for row in sql.query(statement, &[])? {
        let row = Columns(&row);
        let (table, column) = (row.text(0)?, row.text(1)?);
        let restart = format!(
            "SELECT setval(pg_get_serial_sequence($1, $2), greatest(max({}), 1)) FROM {} HAVING count(*) > 0",
            quoted(&column),
            quoted(&table)
        );
        let parameters = [quoted(&table).as_str().into(), column.as_str().into()];
        sql.returning(&restart, &parameters)?;
    }
    Ok(())
}

/// The names of a table's columns, and the types of their values as arrays of parameters have them.
type Types = Rc<BTreeMap<String, String>>;

/// An empty database with an open transaction.
struct Filled<'l> {
    sql: &'l SqlLink,
    types: RefCell<BTreeMap<String, Types>>,
}

impl Filled<'_> {
    fn types(&self, table: &str) -> Result<Types, StoreError> {
        if let Some(types) = self.types.borrow().get(table) {
            return Ok(Rc::clone(types));
        }
        let statement = "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute JOIN pg_class c ON c.oid = attrelid \
                         WHERE relnamespace = to_regnamespace('cairn') AND relname = $1 AND attnum > 0 AND NOT attisdropped";
        let rows = self.sql.query(statement, &[table.into()])?;
        let types = rows.iter().map(|row| {
            let row = Columns(row);
            Ok((row.text(0)?, row.text(1)?))
        });
        let types: Types = Rc::new(types.collect::<Result<_, StoreError>>()?);
        let mut known = self.types.borrow_mut();
        known.insert(table.to_owned(), Rc::clone(&types));
        Ok(types)
    }
}

impl Empty for Filled<'_> {
    fn sql(&self) -> &dyn Sql {
        self.sql
    }

    fn insert(&self, table: &str, columns: &[&str], rows: &[Vec<Cell>]) -> Result<(), StoreError> {
        let types = self.types(table)?;
        let names: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
        let arrays = columns.iter().enumerate().map(|(at, name)| {
            let of = types.get(*name).map_or("text", String::as_str);
            format!("${}::{of}[]", at + 1)
        });
        let arrays: Vec<String> = arrays.collect();
        let statement = format!(
            "INSERT INTO {} ({}) SELECT * FROM unnest({})",
            quoted(table),
            names.join(", "),
            arrays.join(", ")
        );
        let parameters = (0..columns.len()).map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            Parameter::Array(cells.map(Cell::borrow).collect())
        });
        let step = Step::Run {
            statement: &statement,
            parameters: parameters.collect(),
        };
        let inserted = self.sql.link().send(&[step]);
        inserted.map(drop).map_err(|error| {
            StoreError::Database(format!(
                "rows of the table `{table}` ({}) cannot be copied: {error}",
                columns.join(", ")
            ))
        })
    }
}
