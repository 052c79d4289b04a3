//! Looks for a text in the keys of rows that name a flow.

use cairn_effects::rows::{Cell, Table};
use cairn_model::id::{FlowId, IdPrefix};

use super::{Finds, Match};
use crate::StoreError;
use crate::sql::{Columns, SqlError};

/// How many combinations of the first columns of a key are tried, where the last column alone is known.
const LEADING: usize = 256;

/// A table whose rows name a flow.
struct Source<'t> {
    table: &'t str,
    /// The columns of its key.
    key: Vec<&'t str>,
    /// The column of the flow.
    flow: &'t str,
    /// The first column of the key is the project.
    is_by_project: bool,
}

/// A row of a source: its flow, and the texts of its key.
type Row = (FlowId, Vec<String>);

/// Finds the flow of an idempotency key, also one that was pruned.
pub(super) fn by_key(text: &str, finds: &mut Finds<'_>) -> Result<(), StoreError> {
    let source = Source {
        table: "idempotency_keys",
        key: vec!["project_id", "key"],
        flow: "flow",
        is_by_project: true,
    };
    for (id, _) in source.find(text, None, finds)? {
        let flow = finds.view.flow(id)?;
        let why = vec!["its idempotency key".to_owned()];
        if !finds.is_full() && finds.flows.iter().all(|known| known.id != id) {
            finds.flows.push(Match { id, flow, why });
        }
    }
    Ok(())
}

/// Finds the flows that made rows with this id, or with an id that begins so.
pub(super) fn by_row(
    text: &str,
    prefix: Option<&IdPrefix>,
    finds: &mut Finds<'_>,
) -> Result<(), StoreError> {
    for table in finds.view.domains().each_table() {
        let Some(source) = Source::of(table) else {
            continue;
        };
        for (flow, key) in source.find(text, prefix, finds)? {
            finds.add(flow, format!("made {} {}", table.noun, key.join("/")))?;
        }
    }
    Ok(())
}

impl<'t> Source<'t> {
    fn of(table: &'t Table) -> Option<Self> {
        let key = table.columns.iter().take(table.key);
        let key: Vec<&str> = key.map(|column| column.name).collect();
        Some(Self {
            table: table.name,
            flow: table.hooks.flow?,
            is_by_project: key.len() > 1
                && key.first().copied() == Some(table.hooks.owner.unwrap_or("project_id")),
            key,
        })
    }

    /// Returns the rows with this text in the last column of their key, by the index of the key alone.
    fn find(
        &self,
        text: &str,
        prefix: Option<&IdPrefix>,
        finds: &Finds<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let (leading, _) = self.key.split_at(self.key.len() - 1);
        if leading.is_empty() {
            return self.select(&[], text, prefix, finds);
        }
        let mut rows = Vec::new();
        let mut before: Option<Vec<Cell>> = None;
        for _ in 0..LEADING {
            let Some(next) = self.next_leading(leading, before.as_deref(), finds)? else {
                break;
            };
            rows.extend(self.select(&next, text, prefix, finds)?);
            before = Some(next);
        }
        Ok(rows)
    }

    /// Returns the first columns of the first key behind these.
    fn next_leading(
        &self,
        leading: &[&str],
        before: Option<&[Cell]>,
        finds: &Finds<'_>,
    ) -> Result<Option<Vec<Cell>>, StoreError> {
        let names = leading.join(", ");
        let mut parameters: Vec<Cell> = Vec::new();
        let mut conditions = vec!["TRUE".to_owned()];
        if let Some(before) = before {
            parameters.extend(before.iter().cloned());
            let places: Vec<String> = (1..=before.len()).map(|at| format!("${at}")).collect();
            conditions.push(format!("({names}) > ({})", places.join(", ")));
        }
        if let (true, Some(project)) = (self.is_by_project, finds.project()) {
            parameters.push(project.into());
            conditions.push(format!("{} = ${}", leading[0], parameters.len()));
        }
        let statement = format!(
            "SELECT {names} FROM {} WHERE {} ORDER BY {names} LIMIT 1",
            self.table,
            conditions.join(" AND ")
        );
        Ok(finds.view.query(&statement, &parameters)?.pop())
    }

    fn select(
        &self,
        leading: &[Cell],
        text: &str,
        prefix: Option<&IdPrefix>,
        finds: &Finds<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let mut parameters = leading.to_vec();
        let mut conditions: Vec<String> = (self.key.iter().zip(1..=leading.len()))
            .map(|(column, at)| format!("{column} = ${at}"))
            .collect();
        let last = self.key.last().copied().unwrap_or_default();
        let at = leading.len() + 1;
        match prefix {
            Some(prefix) => {
                let (lowest, highest) = prefix.range();
                parameters.push(lowest.to_string().as_str().into());
                parameters.push(highest.to_string().as_str().into());
                conditions.push(format!("{last} BETWEEN ${at} AND ${}", at + 1));
            }
            None => {
                parameters.push(text.into());
                conditions.push(format!("{last} = ${at}"));
            }
        }
        let statement = format!(
            "SELECT {flow}, {} FROM {} WHERE {} AND {flow} IS NOT NULL LIMIT {}",
            self.key.join(", "),
            self.table,
            conditions.join(" AND "),
            finds.most,
            flow = self.flow,
        );
        let rows = finds.view.query(&statement, &parameters)?;
        let rows = rows.iter().map(|row| {
            let row = Columns(row);
            let key = (1..=self.key.len()).map(|at| row.text(at));
            Ok((row.flow(0)?, key.collect::<Result<_, _>>()?))
        });
        Ok(rows.collect::<Result<_, SqlError>>()?)
    }
}
