//! Searches journals for a text, from the newest flow to the oldest.

use std::time::Instant;

use uuid::Uuid;

use cairn_effects::rows::Cell;
use cairn_model::clock::Timestamp;
use cairn_model::id::FlowId;

use super::reason::reason;
use super::{Finds, Searched};
use crate::journal::{self, Damage};
use crate::sql::{Columns, SqlError};
use crate::{StoreError, view::View};

/// Of how many flows the journals are read at once.
const TOGETHER: usize = 32;

/// Searches until all flows were looked at, the time is up, or enough flows are found.
pub(super) fn search(
    text: &str,
    until: Option<Instant>,
    finds: &mut Finds<'_>,
) -> Result<Searched, StoreError> {
    // As the journal writes it.
    let written = serde_json::to_string(text).unwrap_or_default();
    let mut searched = Searched::default();
    let mut before = FlowId(Uuid::max());
    loop {
        if finds.is_full() || until.is_some_and(|until| Instant::now() >= until) {
            return Ok(searched);
        }
        let flows = page(finds, before)?;
        let (Some((last, created)), is_last) = (flows.last(), flows.len() < TOGETHER) else {
            searched.is_complete = true;
            return Ok(searched);
        };
        before = *last;
        searched.back_to = Some(*created);
        searched.flows += flows.len() as u64;
        for (flow, row) in journals(finds.view, &flows)? {
            match reasons(&row, text, &written, finds.view) {
                Ok(reasons) => {
                    for why in reasons {
                        finds.add(flow, why)?;
                    }
                }
                Err(_) => searched.unreadable += 1,
            }
        }
        if is_last {
            searched.is_complete = true;
            return Ok(searched);
        }
    }
}

/// Returns flows before one, newest first, with the times of their creation.
fn page(finds: &Finds<'_>, before: FlowId) -> Result<Vec<(FlowId, Timestamp)>, StoreError> {
    let mut parameters: Vec<Cell> = vec![before.into()];
    let of_project = match finds.project() {
        Some(project) => {
            parameters.push(project.into());
            "AND project_id = $2"
        }
        None => "",
    };
    let statement = format!(
        "SELECT id, created_at FROM flows WHERE id < $1 {of_project} ORDER BY id DESC LIMIT {TOGETHER}"
    );
    let rows = finds.view.query(&statement, &parameters)?;
    let flows = rows.iter().map(|row| {
        let row = Columns(row);
        Ok((row.flow(0)?, Timestamp(row.int(1)?)))
    });
    Ok(flows.collect::<Result<_, SqlError>>()?)
}

/// Reads the rows of these flows' journals, as they are stored.
fn journals(
    view: &View<'_>,
    flows: &[(FlowId, Timestamp)],
) -> Result<Vec<(FlowId, Cell)>, StoreError> {
    let places: Vec<String> = (1..=TOGETHER).map(|at| format!("${at}")).collect();
    let statement = format!(
        "SELECT flow, entries FROM journal WHERE flow IN ({}) ORDER BY flow DESC, first",
        places.join(", ")
    );
    let last = flows.last();
    let padded = flows.iter().chain(last.into_iter().cycle()).take(TOGETHER);
    let parameters: Vec<Cell> = padded.map(|(flow, _)| Cell::from(*flow)).collect();
    let rows = view.query(&statement, &parameters)?.into_iter();
    let rows = rows.map(|mut row| {
        let flow = Columns(&row).flow(0)?;
        Ok((flow, row.pop().unwrap_or(Cell::Null)))
    });
    Ok(rows.collect::<Result<_, SqlError>>()?)
}

/// Returns what the entries of a row have to do with a text. `written` is the text as JSON.
fn reasons(row: &Cell, text: &str, written: &str, view: &View<'_>) -> Result<Vec<String>, Damage> {
    let inflated;
    let entries = match row {
        Cell::Text(text) => text.as_bytes(),
        Cell::Blob(block) => {
            inflated = journal::inflate(block)?;
            &inflated
        }
        Cell::Null | Cell::Int(_) => return Err("the row holds no entries".into()),
    };
    // Most rows do not have it: only the others are parsed.
    if !std::str::from_utf8(entries)?.contains(written) {
        return Ok(Vec::new());
    }
    let entries = journal::read(entries)?;
    let reasons = entries
        .iter()
        .filter_map(|entry| reason(&entry.event, text, view.domains()));
    Ok(reasons.collect())
}
