//! Reads the journals of the flows of a list at once.

use std::collections::BTreeMap;

use cairn_effects::event::Entry;
use cairn_effects::rows::Cell;
use cairn_model::id::FlowId;

use super::View;
use crate::StoreError;
use crate::journal;
use crate::sql::Columns;

/// The most bytes of a row of a journal, packed and unpacked.
const PACKED: i64 = 64 << 10;
const UNPACKED: usize = 512 << 10;

impl View<'_> {
    /// Returns the journals of these flows, by one statement. A journal with more than `most` entries, or with rows that are large or cannot be
    /// read, is left out, so that a list costs little whatever its flows hold; so are flows that do not exist.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn short_journals(
        &self,
        flows: &[FlowId],
        most: usize,
    ) -> Result<BTreeMap<FlowId, Vec<Entry>>, StoreError> {
        if flows.is_empty() {
            return Ok(BTreeMap::new());
        }
        let marks: Vec<String> = (3..flows.len() + 3).map(|at| format!("${at}")).collect();
        // A row that is too large is left out, which the number of entries shows.
        let statement = format!(
            "SELECT flows.id, flows.entries, journal.entries FROM flows JOIN journal ON journal.flow = flows.id
             WHERE flows.id IN ({}) AND flows.entries <= $1 AND length(journal.entries) <= $2 ORDER BY flows.id, journal.first",
            marks.join(", ")
        );
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let mut parameters: Vec<Cell> = vec![most.into(), PACKED.into()];
        parameters.extend(flows.iter().map(|flow| Cell::from(*flow)));
        let mut found: BTreeMap<FlowId, (i64, Vec<Entry>)> = BTreeMap::new();
        for row in self.sql().query(&statement, &parameters)? {
            let (flow, length) = (Columns(&row).flow(0)?, Columns(&row).int(1)?);
            let (_, entries) = found.entry(flow).or_insert((length, Vec::new()));
            entries.extend(read(row.last()));
        }
        let whole = found.into_iter().filter(|(_, (length, entries))| {
            usize::try_from(*length).is_ok_and(|length| length == entries.len())
        });
        Ok(whole.map(|(flow, (_, entries))| (flow, entries)).collect())
    }
}

/// Reads a row of a journal; returns no entries if it is too large or damaged.
fn read(row: Option<&Cell>) -> Vec<Entry> {
    let entries = match row {
        Some(Cell::Text(text)) => journal::read(text.as_bytes()),
        Some(Cell::Blob(block))
            if journal::length(block).is_some_and(|length| length <= UNPACKED) =>
        {
            journal::unpack(block)
        }
        _ => return Vec::new(),
    };
    entries.unwrap_or_default()
}
