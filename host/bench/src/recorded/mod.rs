//! Measures the cost of flows in SQL alone, by replaying recorded statements in one of two [`Way`]s.
//!
//! The recordings in `recorded/` do not change with the engine, so that all versions are compared with the same work.

mod statement;
pub mod variables;

pub use statement::{Parameter, Statement};

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn::clock::SystemClock;
use cairn::{Sqlite, SqliteConfig};
use rusqlite::Connection;

use crate::{BenchError, Case, meter, stage};
use variables::Variables;

/// The way in which a recording runs a flow's SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// In bulk, as the store does: each row is written once, when the batch commits, and no rules are evaluated. This is the part of a
    /// flow's cost without engine and sandbox.
    Floor,
    /// Statement by statement, as the first versions of Cairn did: rules query the database, and each effect is written separately.
    Statements,
}

/// The statements of one flow, and those that run once per batch, without those that begin and commit a transaction.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    flow: Vec<Statement>,
    batch: Vec<Statement>,
}

/// The cost of a replay.
#[derive(Clone, Copy, Debug)]
pub struct Replay {
    /// Time from the first statement to the last commit.
    pub wall: Duration,
    /// CPU time of the whole process.
    pub cpu: Duration,
    /// Number of transactions.
    pub commits: u64,
}

impl Recording {
    /// Returns the recording of a case.
    ///
    /// # Panics
    /// When the file in `recorded/` is damaged, which a test detects.
    pub fn of(way: Way, case: Case) -> Self {
        let text = match (way, case) {
            (Way::Floor, Case::Success) => include_str!("../../recorded/floor/success.sql"),
            (Way::Floor, Case::OverQuota) => include_str!("../../recorded/floor/over-quota.sql"),
            (Way::Floor, Case::CastFails) => include_str!("../../recorded/floor/cast-fails.sql"),
            (Way::Statements, Case::Success) => {
                include_str!("../../recorded/statements/success.sql")
            }
            (Way::Statements, Case::OverQuota) => {
                include_str!("../../recorded/statements/over-quota.sql")
            }
            (Way::Statements, Case::CastFails) => {
                include_str!("../../recorded/statements/cast-fails.sql")
            }
        };
        Self::parse(text).expect("the recorded statements are well formed")
    }

    /// Reads a recording: lines that begin with `#` are comments, a line of SQL is a statement, and the indented line below
    /// it the JSON array of its parameters. Statements below the line `[batch]` run once per batch, before it commits.
    ///
    /// # Errors
    /// The first wrong line, with its number.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut recording = Self::default();
        let mut statements = &mut recording.flow;
        for (index, line) in text.lines().enumerate() {
            let wrong = |problem: &str| format!("line {}: {problem}", index + 1);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line == BATCH {
                statements = &mut recording.batch;
            } else if line.starts_with(' ') {
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
        Ok(recording)
    }

    /// Returns the longest row that a flow adds to the journal, with the ids of the recorded flow.
    pub(crate) fn journal(&self) -> &[u8] {
        let parameters = self.flow.iter().flat_map(|statement| &statement.parameters);
        let rows = parameters.filter_map(Parameter::packed);
        rows.max_by_key(|row| row.len()).unwrap_or_default()
    }

    /// Runs the statements of `flows` flows, one flow after another, in about `commits` transactions, in a database that is created if
    /// it does not exist.
    ///
    /// # Errors
    /// [`BenchError`] of the database.
    pub fn replay(&self, path: &Path, flows: usize, commits: u64) -> Result<Replay, BenchError> {
        // The store creates the schema.
        drop(Sqlite::open(
            path,
            SqliteConfig::default(),
            Arc::new(SystemClock),
        )?);
        self.measure(path, flows, commits)
            .map_err(BenchError::database)
    }

    fn measure(&self, path: &Path, flows: usize, commits: u64) -> rusqlite::Result<Replay> {
        let connection = meter::connect(path)?;
        connection.execute(
            "INSERT OR IGNORE INTO quota_usages (project_id, resource, in_use, reserved)
             VALUES (?1, 'volumes', 0, 0), (?1, 'gigabytes', 0, 0)",
            [&stage::requester().project_id],
        )?;
        let mut variables = Variables::new();
        self.run(&connection, &mut variables, 1, 1)?;
        let (begin, cpu) = (Instant::now(), meter::cpu());
        let commits = self.run(&connection, &mut variables, flows, commits)?;
        Ok(Replay {
            wall: begin.elapsed(),
            cpu: meter::cpu().saturating_sub(cpu),
            commits,
        })
    }

    fn run(
        &self,
        connection: &Connection,
        variables: &mut Variables,
        flows: usize,
        commits: u64,
    ) -> rusqlite::Result<u64> {
        let prepare = |statements: &[Statement]| {
            let prepared = statements.iter();
            let prepared = prepared.map(|statement| connection.prepare(&statement.sql));
            prepared.collect::<Result<Vec<_>, _>>()
        };
        let mut of_flow = prepare(&self.flow)?;
        let mut of_batch = prepare(&self.batch)?;
        let mut begin = connection.prepare("BEGIN IMMEDIATE")?;
        let mut commit = connection.prepare("COMMIT")?;
        let in_all = (flows * self.flow.len()) as u64;
        let batch = in_all.div_ceil(commits.max(1));
        let (mut run, mut savepoints, mut committed) = (0, 0, 0);
        let mut end = |variables: &Variables| -> rusqlite::Result<()> {
            for (statement, prepared) in self.batch.iter().zip(&mut of_batch) {
                statement.run(prepared, variables)?;
            }
            commit.execute([]).map(drop)
        };
        for _ in 0..flows {
            variables.next_flow();
            for (statement, prepared) in self.flow.iter().zip(&mut of_flow) {
                if run == 0 {
                    begin.execute([])?;
                }
                statement.run(prepared, variables)?;
                run += 1;
                match statement.sql.split(' ').next() {
                    Some("SAVEPOINT") => savepoints += 1,
                    Some("RELEASE") => savepoints -= 1,
                    _ => {}
                }
                // A transaction does not end within an effect.
                if run >= batch && savepoints == 0 {
                    end(variables)?;
                    (run, committed) = (0, committed + 1);
                }
            }
        }
        if run > 0 {
            end(variables)?;
            committed += 1;
        }
        Ok(committed)
    }
}

/// Formats it for [`Recording::parse`].
impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.flow
            .iter()
            .try_for_each(|statement| write!(f, "{statement}"))?;
        if !self.batch.is_empty() {
            writeln!(f, "{BATCH}")?;
        }
        self.batch
            .iter()
            .try_for_each(|statement| write!(f, "{statement}"))
    }
}

/// The line above the statements that run once per batch.
pub const BATCH: &str = "[batch]";

#[cfg(test)]
mod tests;
