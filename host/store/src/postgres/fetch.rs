//! Reads the rows that rules need, in one round trip and from one state of the database.

use std::sync::Arc;

use cairn_effects::rows::{AnyRow, Cell, Counted, Fetched, Mark, Table, Wants};

use super::again::while_lost;
use super::connect::Target;
use super::link::{Answer, FETCHER, Link, LinkError, Step};
use super::session::SNAPSHOT;
use crate::StoreError;
use crate::backend::Reader;
use crate::statements::{key_condition, select};

/// The number of the last batch of a host that is on disk: how far its database has got.
const MARK: &str = "SELECT batch FROM hosts WHERE id = $1";

/// What is wanted, as statements.
pub(super) struct Reads {
    host: [Cell; 1],
    wants: Wants,
    texts: Vec<(String, Vec<Cell>)>,
}

impl Reads {
    /// Returns the statements for what a host wants.
    pub(super) fn of(host: Cell, wants: Wants) -> Self {
        let mut texts = Vec::new();
        for id in &wants.rows {
            let key = id.key.0.iter().cloned().map(Cell::Text);
            texts.push((select(id.table, &key_condition(id.table)), key.collect()));
        }
        for table in &wants.whole {
            texts.push((select(table, "TRUE"), Vec::new()));
        }
        for wanted in &wants.selects {
            let text = select(wanted.of.table(), wanted.of.condition());
            texts.push((text, wanted.parameters.clone()));
        }
        for wanted in &wants.counts {
            texts.push((wanted.of.query().to_owned(), wanted.parameters.clone()));
        }
        Self {
            host: [host],
            wants,
            texts,
        }
    }

    /// Returns the statements; [`fetched`](Self::fetched) takes their answers.
    pub(super) fn steps(&self) -> Vec<Step<'_>> {
        let mut steps = vec![Step::run(MARK, &self.host)];
        let texts = self.texts.iter();
        steps.extend(texts.map(|(text, parameters)| Step::run(text, parameters)));
        steps
    }

    /// Returns what was read.
    pub(super) fn fetched(self, answers: Vec<Answer>) -> Result<Fetched, String> {
        let mut answers = answers.into_iter().map(|answer| answer.rows);
        let mut next = || answers.next().unwrap_or_default();
        let mark = match next().first().map(Vec::as_slice) {
            Some([Cell::Int(batch)]) => Mark(*batch),
            _ => Mark::default(),
        };
        let mut fetched = Fetched {
            seen: mark,
            ..Fetched::default()
        };
        for id in self.wants.rows {
            let found = rows(id.table, next())?;
            fetched.rows.push((id, found.into_iter().next()));
        }
        for table in self.wants.whole {
            let found = rows(table, next())?;
            fetched.whole.push((table, found.into()));
        }
        for wanted in self.wants.selects {
            let found = rows(wanted.of.table(), next())?;
            fetched.selects.insert(wanted, found);
        }
        for wanted in self.wants.counts {
            let mut counted = Counted::new();
            for mut row in next() {
                match row.pop() {
                    Some(Cell::Int(count)) => counted.insert(row, count),
                    _ => return Err(format!("`{}` counts nothing", wanted.of.query())),
                };
            }
            fetched.counts.insert(wanted, counted);
        }
        Ok(fetched)
    }
}

fn rows(table: &'static Table, found: Vec<Vec<Cell>>) -> Result<Vec<Arc<dyn AnyRow>>, String> {
    let rows = found.into_iter().map(|row| {
        let mut cells = row.into_iter();
        let row = (table.read)(&mut || cells.next().unwrap_or(Cell::Null));
        row.map_err(|error| format!("table {}: {error}", table.name))
    });
    rows.collect()
}

/// Reads rows beside the writer, on a connection of its own.
pub struct Fetcher {
    target: Arc<Target>,
    host: Cell,
    link: Option<Link>,
}

impl Fetcher {
    pub(super) fn new(target: Arc<Target>, host: Cell) -> Self {
        Self {
            target,
            host,
            link: None,
        }
    }

    fn link(&mut self) -> Result<&mut Link, LinkError> {
        match &mut self.link {
            Some(link) if link.is_connected() => {}
            Some(link) => link.reconnect()?,
            none => *none = Some(Link::connect(&self.target, &FETCHER)?),
        }
        let none = || LinkError::Lost("the connection to the database is lost".to_owned());
        self.link.as_mut().ok_or_else(none)
    }

    fn read(&mut self, reads: &Reads) -> Result<Vec<Answer>, LinkError> {
        let mut steps = vec![Step::Script(SNAPSHOT)];
        steps.extend(reads.steps());
        steps.push(Step::Script("COMMIT"));
        let link = self.link()?;
        // When a statement fails the server ends the transaction with `COMMIT`.
        let mut answers = link.send(&steps)?;
        answers.pop();
        answers.remove(0);
        Ok(answers)
    }
}

impl Reader for Fetcher {
    fn fetch(&mut self, _generation: u64, wants: Wants) -> Result<Fetched, StoreError> {
        let reads = Reads::of(self.host.clone(), wants);
        // Reading changes nothing, so it is tried again on a new connection.
        let answers = while_lost(self.target.patience, || self.read(&reads));
        let answers = answers.map_err(|error| StoreError::Database(error.to_string()))?;
        reads.fetched(answers).map_err(StoreError::Database)
    }
}
