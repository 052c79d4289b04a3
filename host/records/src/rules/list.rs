//! Lists the records of a collection in pages.

use serde::{Deserialize, Serialize};
use serde_json::json;

use cairn_model::error::TaskError;
use cairn_model::value::Value;

use super::place::{own_project, settings};
use super::record::{Entry, entry, flow};
use super::scans::{BETWEEN, FIRST_KEYS};
use super::tables::Record;
use cairn_effects::rows::{Cell, Rows, Stop, Text};
use cairn_effects::rules::LookUp;

/// The greatest number of records on a page.
pub const MOST_ENTRIES: u32 = 1000;

/// Bytes of values after which a page ends. A page has at least one record.
const MOST_BYTES: usize = 1 << 20;

/// Lists the records whose keys begin with a prefix, in the order of the keys' bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordList {
    /// The collection.
    pub collection: String,
    /// The prefix of the keys; empty for all of them.
    pub prefix: String,
    /// [`Page::next`] of the previous page; `None` for the first page.
    pub cursor: Option<String>,
    /// The greatest number of records on the page, from 1 to [`MOST_ENTRIES`].
    pub limit: u32,
}

/// A page of the records of a collection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// The records, in order.
    pub entries: Vec<Entry>,
    /// The cursor of the next page; `None` on the last page. A page before the last one may have fewer records than requested, or none.
    pub next: Option<String>,
}

impl LookUp for RecordList {
    const FUNCTION: Option<&'static str> = Some("records.list");
    type Answer = Page;

    fn arguments(&self) -> Value {
        json!({"collection": self.collection, "prefix": self.prefix, "cursor": self.cursor, "limit": self.limit})
    }

    fn look_up(&self, rows: &mut Rows<'_>) -> Result<Page, Stop> {
        let project = own_project(rows)?;
        let reads = settings(rows, &self.collection)?.reads;
        if !(1..=MOST_ENTRIES).contains(&self.limit) {
            let message = format!(
                "`limit` must be from 1 to {MOST_ENTRIES}, not {}",
                self.limit
            );
            return Err(TaskError::new("InvalidInput", message).into());
        }
        let most = self.limit as usize;
        let cursor = self.cursor.as_deref().unwrap_or_default();
        let from = cursor.max(self.prefix.as_str());
        let end = end_of(&self.prefix);
        let text = |text: &str| Cell::Text(text.into());
        let mut range = vec![
            Cell::Text(project),
            text(&self.collection),
            text(from),
            text(&end),
        ];
        let first = {
            let mut asked = range.clone();
            asked.push(Cell::Int(i64::from(self.limit) + 1));
            rows.count(&FIRST_KEYS, asked)?
        };
        let next = first
            .into_keys()
            .nth(most)
            .and_then(|group| match group.into_iter().next() {
                Some(Cell::Text(key)) => Some(key),
                _ => None,
            });
        if let Some(next) = &next {
            range[3] = Cell::Text(Text::clone(next));
        }
        let mut found = rows.select(&BETWEEN, range)?;
        found.sort_by(|one, other| one.key.cmp(&other.key));
        let flow = flow(rows);
        let entries = found.iter().filter_map(|row: &std::sync::Arc<Record>| {
            let sight = row.seen(flow, reads);
            Some((
                entry(&row.key, &sight)?,
                sight.value.map_or(0, |value| value.len()),
            ))
        });
        Ok(page(entries, most, next.map(|next| next.to_string())))
    }
}

/// Cuts entries, each with the bytes of its value, to a page. `next` is the cursor after all of them.
fn page(entries: impl Iterator<Item = (Entry, usize)>, most: usize, next: Option<String>) -> Page {
    let mut page = Page {
        entries: Vec::new(),
        next,
    };
    let mut bytes = 0;
    for (entry, size) in entries {
        bytes += size;
        if page.entries.len() == most || (bytes > MOST_BYTES && !page.entries.is_empty()) {
            page.next = Some(entry.key);
            break;
        }
        page.entries.push(entry);
    }
    page
}

/// Returns the least text that is greater than every text with this prefix.
pub(crate) fn end_of(prefix: &str) -> String {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        let after = match last {
            // No characters exist between these two.
            '\u{d7ff}' => Some('\u{e000}'),
            char::MAX => None,
            other => char::from_u32(u32::from(other) + 1),
        };
        if let Some(after) = after {
            chars.push(after);
            return chars.into_iter().collect();
        }
    }
    // Greater than any key: longer, and made of the greatest character.
    char::MAX.to_string().repeat(cairn_model::text::LONGEST + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sized(keys: &[(&str, usize)]) -> Vec<(Entry, usize)> {
        let entry = |key: &str| Entry {
            key: key.to_owned(),
            value: Value::Null,
            version: 1,
        };
        keys.iter().map(|(key, size)| (entry(key), *size)).collect()
    }

    fn keys(page: &Page) -> Vec<&str> {
        page.entries
            .iter()
            .map(|entry| entry.key.as_str())
            .collect()
    }

    #[test]
    fn a_page_ends_at_its_number_or_at_its_bytes_and_says_where_the_next_begins() {
        let all = sized(&[("a", 1), ("b", 1), ("c", 1)]);
        let cut = page(all.clone().into_iter(), 2, None);
        assert_eq!(
            (keys(&cut), cut.next.as_deref()),
            (vec!["a", "b"], Some("c"))
        );
        let whole = page(all.into_iter(), 3, Some("d".to_owned()));
        assert_eq!(
            (keys(&whole), whole.next.as_deref()),
            (vec!["a", "b", "c"], Some("d"))
        );
        // A record that is larger than a page is a page of its own.
        let large = sized(&[("a", MOST_BYTES + 1), ("b", MOST_BYTES), ("c", 1)]);
        let cut = page(large.into_iter(), 9, None);
        assert_eq!((keys(&cut), cut.next.as_deref()), (vec!["a"], Some("b")));
    }

    #[test]
    fn the_end_of_a_prefix_comes_after_everything_that_begins_with_it() {
        for (prefix, end) in [
            ("a", "b"),
            ("a/", "a0"),
            ("\u{d7ff}", "\u{e000}"),
            ("b\u{10ffff}", "c"),
        ] {
            assert_eq!(end_of(prefix), end, "{prefix:?}");
            assert!(format!("{prefix}\u{10ffff}\u{10ffff}").as_str() < end);
        }
        let longest = "\u{10ffff}".repeat(cairn_model::text::LONGEST);
        assert!(longest < end_of(""));
    }
}
