//! A batch as statements, each of which writes many rows.

use std::collections::HashMap;

use cairn_effects::rows::{AnyRow, Cell, CellRef, Kind, Table, Written};

use super::link::{Parameter, Step};
use crate::backend::{Batch, FlowRow};
use crate::partitions::partition_of;
use crate::statements::RowChange;

/// The texts of statements that write rows, each composed once.
#[derive(Default)]
pub(super) struct Texts(HashMap<(&'static str, RowChange), String>);

/// Rows of one table that are written alike.
struct Group<'a> {
    table: &'static Table,
    change: RowChange,
    rows: Vec<&'a dyn AnyRow>,
}

/// The order in which changes are written: what is removed may make room for what is added.
fn rank(change: RowChange) -> u8 {
    match change {
        RowChange::Delete => 0,
        RowChange::Update(_) => 1,
        RowChange::Insert => 2,
    }
}

fn groups<'a>(rows: &[Written<'a>]) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for row in rows {
        let (Some(change), Some(state)) = (RowChange::of(row), row.now.or(row.base)) else {
            continue;
        };
        let table = row.id.table;
        let alike = |group: &&mut Group<'_>| group.table == table && group.change == change;
        match groups.iter_mut().rev().find(alike) {
            Some(group) => group.rows.push(state),
            None => groups.push(Group {
                table,
                change,
                rows: vec![state],
            }),
        }
    }
    groups.sort_by_key(|group| rank(group.change));
    groups
}

/// The parts of a batch besides its rows, as arrays of columns own them.
#[derive(Default)]
pub(super) struct Columns {
    keys: Vec<[Cell; 4]>,
    entries: Vec<[Cell; 3]>,
    new_flows: Vec<[Cell; 15]>,
    old_flows: Vec<[Cell; 9]>,
}

const KEYS: &str = "INSERT INTO idempotency_keys (project_id, key, flow, asked)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[])
    ON CONFLICT (project_id, key) DO UPDATE SET flow = excluded.flow, asked = excluded.asked, ended_at = NULL, report = NULL";

const ENTRIES: &str = "INSERT INTO journal (flow, first, entries)
    SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[])";

const NEW_FLOWS: &str = "INSERT INTO flows (id, part, name, project_id, user_id, plan, state, error, created_at, updated_at, host, entries, incomplete, wake_at, forward)
    SELECT * FROM unnest($1::bytea[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::bigint[],
                         $11::bytea[], $12::bigint[], $13::boolean[], $14::bigint[], $15::boolean[])";

/// A flow may have been pruned meanwhile, so fewer rows may be changed than are named.
const OLD_FLOWS: &str = "UPDATE flows SET state = u.c1, error = u.c2, updated_at = u.c3, host = u.c4, entries = u.c5, incomplete = u.c6, wake_at = u.c7, forward = u.c8, stuck = NULL, moved = FALSE
    FROM unnest($1::bytea[], $2::text[], $3::text[], $4::bigint[], $5::bytea[], $6::bigint[], $7::boolean[], $8::bigint[], $9::boolean[])
        AS u(c0, c1, c2, c3, c4, c5, c6, c7, c8)
    WHERE flows.id = u.c0";

impl Columns {
    /// Returns the parts of a batch besides its rows. `host` is this process.
    pub(super) fn of(batch: &Batch<'_>, host: &Cell) -> Self {
        let mut columns = Self::default();
        for given in batch.keys {
            // The last one counts, as one statement may not change a row twice.
            columns.keys.retain(|[project, key, ..]| {
                (project.borrow(), key.borrow())
                    != (CellRef::Text(&given.project_id), CellRef::Text(&given.key))
            });
            columns.keys.push([
                given.project_id.as_str().into(),
                given.key.as_str().into(),
                given.flow.into(),
                given.asked.to_string().as_str().into(),
            ]);
        }
        for added in &batch.flows {
            let entries = Cell::Blob(added.entries.as_slice().into());
            columns
                .entries
                .push([added.flow.into(), added.first.into(), entries]);
            let Some(row) = &added.row else { continue };
            let FlowRow { name, .. } = row;
            let owner = if row.rests { Cell::Null } else { host.clone() };
            let error: Cell = row.error.into();
            let incomplete = Cell::Int(row.incomplete.into());
            let wake_at = row.wake_at.map_or(Cell::Null, Cell::from);
            let forward = Cell::Int(row.forward.into());
            if row.is_new {
                let plan = row.plan.map(|plan| plan.to_string());
                columns.new_flows.push([
                    added.flow.into(),
                    i64::from(partition_of(row.project_id)).into(),
                    (*name).into(),
                    row.project_id.into(),
                    row.user_id.into(),
                    plan.as_deref().into(),
                    row.state.as_str().into(),
                    error,
                    row.created_at.into(),
                    row.updated_at.into(),
                    owner,
                    row.length.into(),
                    incomplete,
                    wake_at,
                    forward,
                ]);
            } else {
                columns.old_flows.push([
                    added.flow.into(),
                    row.state.as_str().into(),
                    error,
                    row.updated_at.into(),
                    owner,
                    row.length.into(),
                    incomplete,
                    wake_at,
                    forward,
                ]);
            }
        }
        columns
    }

    /// Returns the statements that write them.
    pub(super) fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        let steps = [
            arrays(KEYS, &self.keys),
            arrays(ENTRIES, &self.entries),
            arrays(NEW_FLOWS, &self.new_flows),
            arrays(OLD_FLOWS, &self.old_flows),
        ];
        steps.into_iter().flatten()
    }
}

fn arrays<'a, const N: usize>(statement: &'a str, rows: &'a [[Cell; N]]) -> Option<Step<'a>> {
    if rows.is_empty() {
        return None;
    }
    let columns = (0..N).map(|at| {
        let cells = rows.iter().map(|row| row[at].borrow());
        Parameter::Array(cells.collect())
    });
    Some(Step::Run {
        statement,
        parameters: columns.collect(),
    })
}

impl Texts {
    /// Returns the statements that write rows.
    pub(super) fn steps<'a>(&'a mut self, rows: &[Written<'a>]) -> Vec<Step<'a>> {
        let groups = groups(rows);
        for group in &groups {
            let text = self.0.entry((group.table.name, group.change));
            text.or_insert_with(|| text_of(group.table, group.change));
        }
        let steps = groups.into_iter().filter_map(|group| {
            let text = self.0.get(&(group.table.name, group.change))?;
            let columns = group.change.columns(group.table).map(|column| {
                let cells = group.rows.iter().map(|row| row.cell(column));
                Parameter::Array(cells.collect())
            });
            let mut parameters: Vec<Parameter<'a>> = columns.collect();
            if group.change != RowChange::Insert {
                let wanted = i64::try_from(group.rows.len()).unwrap_or(i64::MAX);
                parameters.push(Parameter::Cell(CellRef::Int(wanted)));
                parameters.push(Parameter::Cell(CellRef::Text(group.table.noun)));
            }
            Some(Step::Run {
                statement: text,
                parameters,
            })
        });
        steps.collect()
    }
}

/// Returns the statement that writes many rows of a table alike.
pub(super) fn text_of(table: &Table, change: RowChange) -> String {
    let columns: Vec<usize> = change.columns(table).collect();
    let given = columns.iter().zip(1..).map(|(column, number)| {
        let kind = sql_type(table.columns[*column].kind);
        format!("${number}::{kind}[]")
    });
    let given: Vec<String> = given.collect();
    let given = given.join(", ");
    let name = table.name;
    if change == RowChange::Insert {
        let names: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
        let names = names.join(", ");
        return format!("INSERT INTO {name} ({names}) SELECT * FROM unnest({given})");
    }
    let aliases: Vec<String> = (0..columns.len()).map(|at| format!("c{at}")).collect();
    let (written, key) = columns.split_at(columns.len() - table.key);
    let set: Vec<String> = written
        .iter()
        .zip(&aliases)
        .map(|(column, alias)| format!("{} = u.{alias}", table.columns[*column].name))
        .collect();
    let mut condition: Vec<String> = key
        .iter()
        .zip(&aliases[written.len()..])
        .map(|(column, alias)| format!("{name}.{} = u.{alias}", table.columns[*column].name))
        .collect();
    condition.extend(table.alive.map(str::to_owned));
    let (set, condition) = (set.join(", "), condition.join(" AND "));
    let rows = format!("unnest({given}) AS u({})", aliases.join(", "));
    let write = match change {
        RowChange::Delete => format!("DELETE FROM {name} USING {rows} WHERE {condition}"),
        _ => format!("UPDATE {name} SET {set} FROM {rows} WHERE {condition}"),
    };
    format!(
        "WITH done AS ({write} RETURNING 1) SELECT expect((SELECT count(*) FROM done), ${}::bigint, ${}::text)",
        columns.len() + 1,
        columns.len() + 2
    )
}

/// Returns the type of a column's values.
fn sql_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Int | Kind::Time => "bigint",
        Kind::Bool => "boolean",
        Kind::Text | Kind::Json => "text",
        Kind::Blob => "bytea",
    }
}
