//! The floor: the SQL of a flow, and nothing else. What is left of a flow's cost when there is neither engine nor sandbox.
//!
//! The statements are recorded ones, kept in `statements/`. They stay as they are while the engine changes, so that the
//! engine is held against the same work from one version to the next.

mod statement;
pub mod variables;

pub use statement::{Parameter, Statement};

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn::clock::SystemClock;
use cairn::{Sqlite, SqliteConfig};
use rusqlite::Connection;

use crate::{BenchError, Case, meter, stage};
use variables::Variables;

/// The statements of one flow, without those that begin and commit a transaction.
#[derive(Clone, Debug, Default)]
pub struct Statements(Vec<Statement>);

/// What a replay took.
#[derive(Clone, Copy, Debug)]
pub struct Replay {
    /// From the first statement to the last commit.
    pub wall: Duration,
    /// CPU time of the whole process.
    pub cpu: Duration,
    /// How many transactions there were.
    pub commits: u64,
}

impl Statements {
    /// The recorded statements of a case.
    ///
    /// # Panics
    /// When the file in `statements/` is damaged, which a test would have shown.
    pub fn of(case: Case) -> Self {
        let text = match case {
            Case::Success => include_str!("../../statements/success.sql"),
            Case::OverQuota => include_str!("../../statements/over-quota.sql"),
            Case::CastFails => include_str!("../../statements/cast-fails.sql"),
        };
        Self::parse(text).expect("the recorded statements are well formed")
    }

    /// Reads a recording: lines that begin with `#` are comments, a line of SQL is a statement, and the indented line below
    /// it the JSON array of its parameters.
    ///
    /// # Errors
    /// With the line that is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut statements: Vec<Statement> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let wrong = |problem: &str| format!("line {}: {problem}", index + 1);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.starts_with(' ') {
                let last = statements
                    .last_mut()
                    .ok_or_else(|| wrong("parameters without a statement"))?;
                last.parameters = Parameter::parse_all(line).map_err(|error| wrong(&error))?;
            } else {
                statements.push(Statement {
                    sql: line.to_owned(),
                    parameters: Vec::new(),
                });
            }
        }
        Ok(Self(statements))
    }

    /// The statements.
    pub fn iter(&self) -> impl Iterator<Item = &Statement> {
        self.0.iter()
    }

    /// The longest row that one flow leaves in the journal, of other ids.
    pub(crate) fn journal(&self) -> &[u8] {
        let parameters = self.iter().flat_map(|statement| &statement.parameters);
        let rows = parameters.filter_map(Parameter::packed);
        rows.max_by_key(|row| row.len()).unwrap_or_default()
    }

    /// Runs the statements of so many flows, one flow after another, in as many transactions as the flows took, in a
    /// database that is made when it is not there.
    ///
    /// # Errors
    /// [`BenchError`] of the database.
    pub fn replay(&self, path: &Path, flows: usize, commits: u64) -> Result<Replay, BenchError> {
        // The schema is the store's own.
        drop(Sqlite::open(
            path,
            SqliteConfig::default(),
            Arc::new(SystemClock),
        )?);
        let connection = meter::connect(path)?;
        connection.execute(
            "INSERT OR IGNORE INTO quota_usages (project_id, resource, in_use, reserved)
             VALUES (?1, 'volumes', 0, 0), (?1, 'gigabytes', 0, 0)",
            [&stage::requester().project_id],
        )?;
        self.run(&connection, 1, 1)?;
        let (begin, cpu) = (Instant::now(), meter::cpu());
        let commits = self.run(&connection, flows, commits)?;
        Ok(Replay {
            wall: begin.elapsed(),
            cpu: meter::cpu().saturating_sub(cpu),
            commits,
        })
    }

    fn run(&self, connection: &Connection, flows: usize, commits: u64) -> Result<u64, BenchError> {
        let prepared = self
            .iter()
            .map(|statement| connection.prepare(&statement.sql));
        let mut prepared = prepared.collect::<Result<Vec<_>, _>>()?;
        let mut begin = connection.prepare("BEGIN IMMEDIATE")?;
        let mut commit = connection.prepare("COMMIT")?;
        let in_all = (flows * self.0.len()) as u64;
        let batch = in_all.div_ceil(commits.max(1));
        let (mut run, mut savepoints, mut committed) = (0, 0, 0);
        for _ in 0..flows {
            let variables = Variables::new();
            for (statement, prepared) in self.iter().zip(&mut prepared) {
                if run == 0 {
                    begin.execute([])?;
                }
                statement.run(prepared, &variables)?;
                run += 1;
                match statement.sql.split(' ').next() {
                    Some("SAVEPOINT") => savepoints += 1,
                    Some("RELEASE") => savepoints -= 1,
                    _ => {}
                }
                // An effect is in one transaction.
                if run >= batch && savepoints == 0 {
                    commit.execute([])?;
                    (run, committed) = (0, committed + 1);
                }
            }
        }
        if run > 0 {
            commit.execute([])?;
            committed += 1;
        }
        Ok(committed)
    }
}

#[cfg(test)]
mod tests;
