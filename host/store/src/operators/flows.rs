//! Lists flows, the newest first.
//!
//! Each list reads an index from its end, so that it costs as little with a million flows as with a hundred. A list of flows in several states
//! joins the lists of each state. For what the index does not know, such as names and users, a page looks at a bounded number of flows.

use std::time::Duration;

use cairn_effects::event::{FlowState, FlowSummary};
use cairn_effects::rows::Cell;
use cairn_model::clock::Timestamp;
use cairn_model::id::FlowId;

use crate::sql::{Columns, Sql, SqlError};

/// Conditions on flows; all that are set must hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct FlowFilter<'f> {
    /// In this state.
    pub state: Option<FlowState>,
    /// With a rollback that is incomplete and not accepted.
    pub incomplete: bool,
    /// That cannot be recovered.
    pub stuck: bool,
    /// That sleeps: it waits, or tries again later.
    pub asleep: bool,
    /// That has passed its pivot, and has not ended.
    pub forward: bool,
    /// That have not ended.
    pub unfinished: bool,
    /// Of this project.
    pub project: Option<&'f str>,
    /// Requested by this user.
    pub user: Option<&'f str>,
    /// With an error of this kind.
    pub error: Option<&'f str>,
    /// That took longer, sleeps included; of a flow that has not ended, the time until now counts.
    pub longer_than: Option<Duration>,
    /// With this name.
    pub name: Option<&'f str>,
    /// With this idempotency key, in any project.
    pub key: Option<&'f str>,
    /// Created at this time or later. A flow that began more than an hour after it was asked for may be left out.
    pub since: Option<Timestamp>,
    /// Created before this flow.
    pub before: Option<FlowId>,
    /// With an id from the first to the second, both included.
    pub ids: Option<(FlowId, FlowId)>,
}

/// Flows of a list, and where the list goes on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FlowPage {
    /// The flows, the newest first.
    pub flows: Vec<FlowSummary>,
    /// The [`before`](FlowFilter::before) of the next page; `None` if this is the last one. A page with fewer flows than asked for, or none,
    /// may have a next one: so many flows were looked at.
    pub next: Option<FlowId>,
}

/// The columns of a flow in a list.
const SUMMARY: &str = "id, name, state, project_id, user_id, error, created_at, updated_at, incomplete, stuck, wake_at, forward";

/// How many flows of each part of a list a page looks at, for conditions that the part's index does not know.
const LOOKED_AT: usize = 5_000;

/// How much earlier than its creation a flow may have been asked for: see [`FlowFilter::since`].
const FORWARDED: Duration = Duration::from_secs(3600);

/// How long a flow took that is in the index of long flows.
const LONG: Duration = Duration::from_secs(1);

/// A condition on flows as SQL, with `?` for each value.
#[derive(Clone)]
struct Condition(String, Vec<Cell>);

impl Condition {
    fn plain(text: &str) -> Self {
        Self(text.to_owned(), Vec::new())
    }

    fn with(text: &str, value: impl Into<Cell>) -> Self {
        Self(text.to_owned(), vec![value.into()])
    }
}

/// A statement under construction.
#[derive(Default)]
struct Statement {
    sql: String,
    parameters: Vec<Cell>,
}

impl Statement {
    /// Appends `SELECT` of flows that meet these conditions, the newest first.
    fn select<'c>(&mut self, columns: &str, conditions: impl Iterator<Item = &'c Condition>) {
        self.sql += &format!("SELECT {columns} FROM flows WHERE TRUE");
        for Condition(text, values) in conditions {
            self.sql += " AND ";
            let mut values = values.iter();
            for piece in text.split_inclusive('?') {
                match (piece.strip_suffix('?'), values.next()) {
                    (Some(piece), Some(value)) => {
                        self.parameters.push(value.clone());
                        self.sql += &format!("{piece}${}", self.parameters.len());
                    }
                    _ => self.sql += piece,
                }
            }
        }
        self.sql += " ORDER BY id DESC";
    }
}

/// A part of a list, which is read from the end of one index.
struct Part {
    /// What the index knows.
    indexed: Vec<Condition>,
    /// What it does not know. Columns of other indexes are hidden from the database's planner.
    others: Vec<Condition>,
}

impl Part {
    fn all(&self) -> impl Iterator<Item = &Condition> {
        self.indexed.iter().chain(&self.others)
    }
}

/// Returns the parts of a list. Each flow is in one of them at most.
fn parts(filter: FlowFilter<'_>, now: Timestamp) -> Vec<Part> {
    let states = FlowState::ALL.into_iter().filter(|state| {
        filter.state.is_none_or(|wanted| wanted == *state)
            && !(filter.unfinished && has_ended(*state))
    });
    let states: Vec<FlowState> = states.collect();
    let is_about_states = filter.state.is_some() || filter.unfinished;
    // The state is no parameter: a server plans the statement for this state, of which there may be few flows.
    let by_state = |state: &FlowState| {
        let mut indexed = vec![Condition::plain(&format!("state = '{}'", state.as_str()))];
        indexed.extend(
            filter
                .project
                .map(|project| Condition::with("project_id = ?", project)),
        );
        indexed
    };
    let mut hidden = Vec::new();
    if is_about_states {
        let names: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
        let text = format!("state || '' IN ({})", vec!["?"; names.len()].join(", "));
        let values = names.into_iter().map(Cell::from).collect();
        hidden.push(Condition(text, values));
    }
    hidden.extend(
        filter
            .project
            .map(|project| Condition::with("project_id || '' = ?", project)),
    );
    let flags: Vec<Condition> = [
        (filter.stuck, "stuck IS NOT NULL"),
        (filter.incomplete, "incomplete"),
        (filter.forward, "forward"),
        (filter.asleep, "wake_at IS NOT NULL"),
    ]
    .into_iter()
    .filter(|(is_set, _)| *is_set)
    .map(|(_, flag)| Condition::plain(flag))
    .collect();
    let error = filter
        .error
        .map(|error| Condition::with("error || '' = ?", error));
    let took = |longer| Condition::with("updated_at - created_at > ?", micros(longer));
    let begun = |longer| Condition::with("created_at < ?", now.before(longer));
    let longer = filter.longer_than.map(|longer| {
        let Condition(ended, mut values) = took(longer);
        let Condition(unfinished, more) = begun(longer);
        values.extend(more);
        Condition(
            format!("CASE WHEN {ENDED} THEN {ended} ELSE {unfinished} END"),
            values,
        )
    });

    // The index that is expected to hold the fewest flows.
    let mut parts = if let Some(key) = filter.key {
        let holders = match filter.project {
            Some(project) => Condition(
                "id IN (SELECT flow FROM idempotency_keys WHERE key = ? AND project_id = ?)"
                    .to_owned(),
                vec![key.into(), project.into()],
            ),
            None => Condition::with(
                "id IN (SELECT flow FROM idempotency_keys WHERE key = ?)",
                key,
            ),
        };
        let others = [hidden, flags, error.into_iter().chain(longer).collect()].concat();
        vec![Part {
            indexed: vec![holders],
            others,
        }]
    } else if let Some((first, rest)) = flags.split_first() {
        let others = [
            hidden,
            rest.to_vec(),
            error.into_iter().chain(longer).collect(),
        ]
        .concat();
        vec![Part {
            indexed: vec![first.clone()],
            others,
        }]
    } else if let Some(error) = filter.error {
        let others = hidden.into_iter().chain(longer).collect();
        vec![Part {
            indexed: vec![Condition::with("error = ?", error)],
            others,
        }]
    } else if let Some(least) = filter.longer_than.filter(|longer| *longer >= LONG) {
        let unfinished = states.iter().filter(|state| !has_ended(**state));
        let unfinished = unfinished.map(|state| Part {
            indexed: by_state(state),
            others: vec![begun(least)],
        });
        let ended = states.iter().any(|state| has_ended(*state)).then(|| Part {
            // Written as the index has it.
            indexed: vec![Condition::plain("updated_at - created_at > 1000000")],
            others: [vec![Condition::plain(ENDED), took(least)], hidden].concat(),
        });
        unfinished.chain(ended).collect()
    } else if is_about_states || filter.project.is_some() {
        let parts = states.iter().map(|state| Part {
            indexed: by_state(state),
            others: longer.iter().cloned().collect(),
        });
        parts.collect()
    } else {
        vec![Part {
            indexed: Vec::new(),
            others: longer.into_iter().collect(),
        }]
    };

    for part in &mut parts {
        let named = [("name = ?", filter.name), ("user_id = ?", filter.user)];
        let named = named
            .into_iter()
            .filter_map(|(text, value)| Some(Condition::with(text, value?)));
        part.others.extend(named);
        if let Some(since) = filter.since {
            let asked = FlowId::least_at(since.before(FORWARDED));
            part.indexed.push(Condition::with("id >= ?", asked));
            part.others.push(Condition::with("created_at >= ?", since));
        }
        part.indexed.extend(
            filter
                .before
                .map(|before| Condition::with("id < ?", before)),
        );
        if let Some((lowest, highest)) = filter.ids {
            part.indexed.push(Condition::with("id >= ?", lowest));
            part.indexed.push(Condition::with("id <= ?", highest));
        }
    }
    parts
}

/// A condition on flows that have ended, by no index.
const ENDED: &str = "state || '' IN ('SUCCESS', 'FAILURE')";

/// Returns the statement for the newest flows of all parts.
fn statement(parts: &[Part], limit: usize) -> Statement {
    // SQL counts with 64 bits.
    let limit = limit.min(i64::MAX as usize);
    let mut statement = Statement::default();
    match parts {
        [only] => statement.select(SUMMARY, only.all()),
        several => {
            statement.sql += &format!("SELECT {SUMMARY} FROM (");
            for (at, part) in several.iter().enumerate() {
                statement.sql += match at {
                    0 => "SELECT * FROM (",
                    _ => " UNION ALL SELECT * FROM (",
                };
                statement.select(SUMMARY, part.all());
                statement.sql += &format!(" LIMIT {limit}) AS part{at}");
            }
            statement.sql += ") AS flows ORDER BY id DESC";
        }
    }
    statement.sql += &format!(" LIMIT {limit}");
    statement
}

/// Returns flows, newest first.
pub(super) fn flows(
    sql: &dyn Sql,
    now: Timestamp,
    filter: FlowFilter<'_>,
    limit: usize,
) -> Result<Vec<FlowSummary>, SqlError> {
    match parts(filter, now).as_slice() {
        // Of no state at all.
        [] => Ok(Vec::new()),
        parts => summaries(sql, &statement(parts, limit)),
    }
}

/// Returns a page of flows, newest first, and where the next one begins.
pub(super) fn page(
    sql: &dyn Sql,
    now: Timestamp,
    filter: FlowFilter<'_>,
    limit: usize,
) -> Result<FlowPage, SqlError> {
    let mut parts = parts(filter, now);
    let mut cut = None;
    for part in &mut parts {
        if part.others.is_empty() {
            continue;
        }
        let mut last = Statement::default();
        last.select("id", part.indexed.iter());
        last.sql += &format!(" LIMIT 1 OFFSET {}", LOOKED_AT - 1);
        let last = sql.query(&last.sql, &last.parameters)?;
        if let Some(last) = last.first().map(|row| Columns(row).flow(0)).transpose()? {
            part.indexed.push(Condition::with("id >= ?", last));
            // Behind the newest cut not every part was looked at.
            cut = cut.max(Some(last));
        }
    }
    let mut flows = match parts.is_empty() {
        true => Vec::new(),
        false => summaries(sql, &statement(&parts, limit))?,
    };
    flows.retain(|flow| cut.is_none_or(|cut| flow.id >= cut));
    let next = match flows.last() {
        Some(last) if flows.len() >= limit => Some(last.id),
        _ => cut,
    };
    Ok(FlowPage { flows, next })
}

/// Returns a flow as lists show it; `None` if there is none.
pub(super) fn flow(sql: &dyn Sql, id: FlowId) -> Result<Option<FlowSummary>, SqlError> {
    let mut statement = Statement::default();
    statement.select(SUMMARY, [Condition::with("id = ?", id)].iter());
    Ok(summaries(sql, &statement)?.pop())
}

fn summaries(sql: &dyn Sql, statement: &Statement) -> Result<Vec<FlowSummary>, SqlError> {
    let rows = sql.query(&statement.sql, &statement.parameters)?;
    rows.iter().map(|row| summary(Columns(row))).collect()
}

const fn has_ended(state: FlowState) -> bool {
    matches!(state, FlowState::Success | FlowState::Failure)
}

/// Returns a duration as the database holds it; the longest one if it is longer.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn summary(row: Columns<'_>) -> Result<FlowSummary, SqlError> {
    let state = row.text(2)?;
    let state = FlowState::parse(&state)
        .ok_or_else(|| SqlError::harmless(format!("`{state}` is no state of a flow")))?;
    Ok(FlowSummary {
        id: row.flow(0)?,
        name: row.text(1)?,
        state,
        project_id: row.text(3)?,
        user_id: row.text(4)?,
        error: row.optional_text(5)?,
        created_at: Timestamp(row.int(6)?),
        updated_at: Timestamp(row.int(7)?),
        incomplete: row.flag(8)?,
        stuck: row.optional_text(9)?,
        wake_at: row.optional_int(10)?.map(Timestamp),
        forward: row.flag(11)?,
    })
}
