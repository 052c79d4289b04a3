//! The values that differ between flows: ids and times.

use std::collections::HashMap;
use std::fmt;

use cairn::clock::{Clock as _, SystemClock};
use uuid::Uuid;

/// The greatest number of ids in a recorded flow.
const IDS: usize = 32;

/// The ids and the time of one flow.
pub struct Variables {
    ids: [Uuid; IDS],
    /// Number of flows that were replayed, including this one.
    pub(super) flows: i64,
    /// Microseconds since 1970-01-01 UTC.
    pub(super) now: i64,
}

impl Variables {
    /// Makes the variables before the first flow.
    #[expect(clippy::new_without_default, reason = "ids are made, not defaulted")]
    pub fn new() -> Self {
        Self {
            ids: std::array::from_fn(|_| Uuid::now_v7()),
            flows: 0,
            now: SystemClock.now().0,
        }
    }

    /// Advances to the variables of the next flow.
    pub(super) fn next_flow(&mut self) {
        *self = Self {
            flows: self.flows + 1,
            ..Self::new()
        };
    }

    /// Returns the id with this number, or nil if it does not exist.
    pub(super) fn id(&self, number: usize) -> Uuid {
        self.ids.get(number).copied().unwrap_or_default()
    }
}

/// Text with ids and times in it, written as `${id3}` and `${now}`.
#[derive(Clone, Debug)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Id(usize),
    Now,
}

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| format!("`${{` without `}}` in {text:?}"))?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(match name.strip_prefix("id").map(str::parse) {
                Some(Ok(number)) if number < IDS => Piece::Id(number),
                _ if name == "now" => Piece::Now,
                _ => return Err(format!("`{name}` is no variable")),
            });
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }

    /// Returns the text, if it is the same in every flow.
    pub(super) fn constant(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    pub(super) fn fill(&self, variables: &Variables) -> String {
        let mut text = String::with_capacity(64 * self.0.len());
        let mut buffer = Uuid::encode_buffer();
        for piece in &self.0 {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Id(id) => {
                    text.push_str(variables.id(*id).hyphenated().encode_lower(&mut buffer));
                }
                Piece::Now => text.push_str(&variables.now.to_string()),
            }
        }
        text
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Id(id) => write!(f, "${{id{id}}}"),
            Piece::Now => f.write_str("${now}"),
        })
    }
}

/// Replaces ids and times by variables: an id gets its number in `ids`, or the next one.
pub fn named(text: &str, ids: &mut HashMap<Uuid, usize>) -> String {
    let mut named = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(id) = rest.get(..36).and_then(|text| text.parse::<Uuid>().ok()) {
            let next = ids.len();
            let number = *ids.entry(id).or_insert(next);
            named.push_str(&format!("${{id{number}}}"));
            rest = &rest[36..];
        } else {
            let digits = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            // Microseconds since 1970 have sixteen digits from 2001 to 2286.
            match digits {
                16 => named.push_str("${now}"),
                0 => named.push(first),
                _ => named.push_str(&rest[..digits]),
            }
            rest = &rest[digits.max(first.len_utf8())..];
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_times_are_named_and_filled_in() {
        let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
        let mut ids = HashMap::new();
        let text = format!("[{one},\"{two}\",{one},1700000000000000,17]é");
        let named = named(&text, &mut ids);
        assert_eq!(named, "[${id0},\"${id1}\",${id0},${now},17]é");

        let template = Template::parse(&named).unwrap();
        assert_eq!(template.to_string(), named);
        let variables = Variables::new();
        let (one, two, now) = (variables.id(0), variables.id(1), variables.now);
        assert_eq!(
            template.fill(&variables),
            format!("[{one},\"{two}\",{one},{now},17]é")
        );
    }

    #[test]
    fn an_unknown_variable_is_refused() {
        for text in ["${id}", "${id99}", "${then}", "${now"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
        assert_eq!(Template::parse("$1 {}").unwrap().constant(), Some("$1 {}"));
    }
}
