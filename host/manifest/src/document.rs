//! A TOML document with line numbers: typed access whose errors give the place and the fix.
//!
//! It is independent of manifests. A reader of a table first declares its known keys; every other key is an error.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use cairn_model::error::Diagnostic;
use cairn_model::text::Text;
use cairn_model::value::{Object, Value, number};

/// Maximum size of a file, which a person writes: a larger one is a mistake.
const MAX_BYTES: usize = 1 << 20;

/// The text of a TOML file, and its name.
pub struct Document<'d> {
    file: &'d Path,
    text: &'d str,
}

impl<'d> Document<'d> {
    /// Creates a document from a text; `file` only names it in errors.
    ///
    /// # Errors
    /// The text is longer than a file that a person writes.
    pub fn new(text: &'d str, file: &'d Path) -> Result<Self, Diagnostic> {
        if text.len() > MAX_BYTES {
            return Err(
                Diagnostic::new(format!("the file is larger than {MAX_BYTES} bytes"))
                    .at(file, None),
            );
        }
        Ok(Self { file, text })
    }

    /// Parses the document.
    ///
    /// # Errors
    /// The text is not TOML, with its line.
    pub fn parse(&self) -> Result<DeTable<'d>, Diagnostic> {
        match DeTable::parse(self.text) {
            Ok(table) => Ok(table.into_inner()),
            Err(error) => {
                let message = format!("this is no TOML: {}", error.message());
                Err(Diagnostic::new(message).at(self.file, error.span().map(|at| self.line(&at))))
            }
        }
    }

    /// Returns the whole document as one table.
    pub fn root(&'d self, entries: &'d DeTable<'d>) -> Table<'d> {
        Table {
            document: self,
            path: String::new(),
            at: 0..0,
            entries,
        }
    }

    /// Returns the line of a place in the text, counted from 1.
    fn line(&self, at: &Range<usize>) -> usize {
        let before = self.text.as_bytes().get(..at.start).unwrap_or_default();
        1 + before.iter().filter(|&&byte| byte == b'\n').count()
    }
}

/// One table.
#[derive(Clone)]
pub struct Table<'d> {
    document: &'d Document<'d>,
    path: String,
    at: Range<usize>,
    entries: &'d DeTable<'d>,
}

impl<'d> Table<'d> {
    /// Refuses every key except these.
    ///
    /// # Errors
    /// The first unknown key in the file, with the one that was probably meant.
    pub fn only(self, known: &[&str]) -> Result<Self, Diagnostic> {
        let unknown = self
            .entries
            .iter()
            .map(|(key, _)| key)
            .filter(|key| !known.contains(&key.get_ref().as_ref()))
            .min_by_key(|key| key.span().start);
        match unknown {
            None => Ok(self),
            Some(key) => {
                let name = key.get_ref();
                let message = format!("unknown key `{}` in {}", name.escape_debug(), self.title());
                let help = match nearest(name, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known keys here: {}", known.join(", ")),
                };
                Err(Diagnostic::new(message)
                    .at(self.document.file, self.document.line(&key.span()))
                    .help(help))
            }
        }
    }

    /// Returns the value of `key`, if it exists.
    pub fn get(&self, key: &str) -> Option<Item<'d>> {
        self.items()
            .find(|(name, _)| *name == key)
            .map(|(_, item)| item)
    }

    /// Returns the text of `key`, which must not be empty.
    ///
    /// # Errors
    /// When it is not text, or empty.
    pub fn text(&self, key: &str) -> Result<Option<&'d str>, Diagnostic> {
        let Some(item) = self.get(key) else {
            return Ok(None);
        };
        match item.text()? {
            "" => Err(item
                .error("is empty")
                .help(format!("say what it is, or leave `{key}` out"))),
            text => Ok(Some(text)),
        }
    }

    /// Returns the text of `key`, checked against its limits.
    ///
    /// # Errors
    /// When it is not text, empty, or outside of its limits.
    pub fn limited(&self, key: &str, limits: Text) -> Result<Option<&'d str>, Diagnostic> {
        let text = self.text(key)?;
        match (self.get(key), text.map(|text| limits.check(text))) {
            (Some(item), Some(Err(unfit))) => Err(item.error(unfit)),
            _ => Ok(text),
        }
    }

    /// Returns every key with its value, by name.
    pub fn items(&self) -> impl Iterator<Item = (&'d str, Item<'d>)> {
        self.entries.iter().map(|(key, value)| {
            let name: &str = key.get_ref();
            let path = match self.path.as_str() {
                "" => name.to_owned(),
                path => format!("{path}.{name}"),
            };
            let item = Item {
                document: self.document,
                path,
                // A value starts on the line of its key; a table with its own header, at the header.
                at: value.span(),
                value: value.get_ref(),
            };
            (name, item)
        })
    }

    /// Returns the line on which the table starts, counted from 1.
    pub fn line(&self) -> usize {
        self.document.line(&self.at)
    }

    /// Creates an error about the table as a whole.
    pub fn error(&self, message: impl AsRef<str>) -> Diagnostic {
        Diagnostic::new(message).at(self.document.file, self.line())
    }

    fn title(&self) -> String {
        match self.path.as_str() {
            "" => "the file".to_owned(),
            "task" => "[[task]]".to_owned(),
            path => format!("[{}]", path.escape_debug()),
        }
    }
}

/// One value and its place.
pub struct Item<'d> {
    document: &'d Document<'d>,
    path: String,
    at: Range<usize>,
    value: &'d DeValue<'d>,
}

impl<'d> Item<'d> {
    /// Reads a time of at most an hour, written with a unit as in "250ms".
    ///
    /// # Errors
    /// The value is not such a text, or the time is shorter than `least` or longer than an hour.
    pub fn duration(&self, least: Duration) -> Result<Duration, Diagnostic> {
        self.duration_within(least, Duration::from_secs(3600))
    }

    /// Reads a time from `least` to `most`, written with a unit.
    ///
    /// # Errors
    /// The value is not such a text, or the time is out of the range.
    pub fn duration_within(&self, least: Duration, most: Duration) -> Result<Duration, Diagnostic> {
        let text = self
            .text()
            .map_err(|error| error.help(r#"write a time with its unit, such as "250ms""#))?;
        let duration = humantime::parse_duration(text.trim()).map_err(|_| {
            self.error(format!("is no time: `{}`", text.escape_debug()))
                .help(r#"write a number and a unit, such as "250ms" or "5s""#)
        })?;
        if !(least..=most).contains(&duration) {
            return Err(self.error(format!(
                "must be from {} to {}, not {}",
                humantime::format_duration(least),
                humantime::format_duration(most),
                text.escape_debug(),
            )));
        }
        Ok(duration)
    }

    /// Returns the line on which the value starts, counted from 1.
    pub fn line(&self) -> usize {
        self.document.line(&self.at)
    }

    /// Returns whether this is a table with its own header, below which a line may be added.
    pub fn has_header(&self) -> bool {
        self.value.is_table() && self.document.text[self.at.start..].starts_with('[')
    }

    /// Creates an error about this value: "`path.of.value` `rest`".
    pub fn error(&self, rest: impl std::fmt::Display) -> Diagnostic {
        Diagnostic::new(format!("`{}` {rest}", self.path.escape_debug()))
            .at(self.document.file, self.line())
    }

    fn mismatch(&self, expected: &str) -> Diagnostic {
        self.error(format!("must be {expected}, not {}", kind(self.value)))
    }

    /// Returns the value as text.
    ///
    /// # Errors
    /// It is not a string.
    pub fn text(&self) -> Result<&'d str, Diagnostic> {
        self.value.as_str().ok_or_else(|| self.mismatch("a string"))
    }

    /// Returns the value as an integer.
    ///
    /// # Errors
    /// It is not an integer, or does not fit in 64 bits.
    pub fn integer(&self) -> Result<i64, Diagnostic> {
        let integer = self
            .value
            .as_integer()
            .ok_or_else(|| self.mismatch("an integer"))?;
        i64::from_str_radix(integer.as_str(), integer.radix())
            .map_err(|_| self.error("does not fit in 64 bits"))
    }

    /// Returns the value as a number, whole or not.
    ///
    /// # Errors
    /// It is not a number.
    pub fn number(&self) -> Result<f64, Diagnostic> {
        let float = self.value.as_float().map(|float| float.as_str());
        let whole = self.value.as_integer().map(|integer| integer.as_str());
        let text = float.or(whole);
        let number = text.and_then(|text| text.parse().ok());
        number.ok_or_else(|| self.mismatch("a number"))
    }

    /// Returns a number that is `least` or more; `help` explains the minimum.
    ///
    /// # Errors
    /// When it is not a whole number, or less.
    pub fn at_least(&self, least: i64, help: &str) -> Result<i64, Diagnostic> {
        match self.integer()? {
            number if number < least => Err(self
                .error(format!("must be {least} or more, not {number}"))
                .help(help)),
            number => Ok(number),
        }
    }

    /// Returns the value as a boolean.
    ///
    /// # Errors
    /// When it is not a boolean.
    pub fn flag(&self) -> Result<bool, Diagnostic> {
        self.as_bool()
            .ok_or_else(|| self.error("must be true or false"))
    }

    /// Returns the value, if it is a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        self.value.as_bool()
    }

    /// Returns the value, if it is a table.
    pub fn as_table(&self) -> Option<Table<'d>> {
        self.value.as_table().map(|entries| Table {
            document: self.document,
            path: self.path.clone(),
            at: self.at.clone(),
            entries,
        })
    }

    /// Returns the value as a table.
    ///
    /// # Errors
    /// It is not a table.
    pub fn table(&self) -> Result<Table<'d>, Diagnostic> {
        self.as_table().ok_or_else(|| self.mismatch("a table"))
    }

    /// Returns the items of an array.
    ///
    /// # Errors
    /// It is not an array.
    pub fn array(&self) -> Result<impl Iterator<Item = Item<'d>>, Diagnostic> {
        let array = self
            .value
            .as_array()
            .ok_or_else(|| self.mismatch("an array"))?;
        Ok(array.iter().map(|value| Item {
            document: self.document,
            path: self.path.clone(),
            at: value.span(),
            value: value.get_ref(),
        }))
    }

    /// Converts a table to JSON. TOML's dates, `nan` and `inf` have no counterpart there.
    ///
    /// # Errors
    /// The value is not a table, or contains one of these.
    pub fn object(&self) -> Result<Object, Diagnostic> {
        self.table()?
            .items()
            .map(|(name, item)| Ok((name.to_owned(), item.json()?)))
            .collect()
    }

    /// Returns the line of this value and of each one in it, by JSON pointer.
    pub fn lines(&self) -> BTreeMap<String, usize> {
        let mut lines = BTreeMap::new();
        self.add_lines(String::new(), &mut lines);
        lines
    }

    fn add_lines(&self, pointer: String, lines: &mut BTreeMap<String, usize>) {
        if let Some(table) = self.as_table() {
            for (name, item) in table.items() {
                let name = name.replace('~', "~0").replace('/', "~1");
                item.add_lines(format!("{pointer}/{name}"), lines);
            }
        } else if let Ok(items) = self.array() {
            for (index, item) in items.enumerate() {
                item.add_lines(format!("{pointer}/{index}"), lines);
            }
        }
        lines.insert(pointer, self.line());
    }

    // The recursion is bounded by the TOML parser, which refuses more than 80 levels.
    fn json(&self) -> Result<Value, Diagnostic> {
        Ok(match self.value {
            DeValue::String(text) => Value::String(text.clone().into_owned()),
            DeValue::Boolean(flag) => Value::Bool(*flag),
            DeValue::Integer(_) => Value::from(self.integer()?),
            DeValue::Float(float) => {
                let written = float.as_str();
                let number = written
                    .parse::<f64>()
                    .ok()
                    .filter(|number| number.is_finite());
                let number = number.ok_or_else(|| self.error("is no number that JSON can hold"))?;
                if !number::is_kept(written, number) {
                    return Err(self
                        .error("has more digits than a double keeps")
                        .help("put it in quotes"));
                }
                Value::from(number)
            }
            DeValue::Datetime(_) => {
                return Err(self
                    .error("is a date, which JSON has no type for")
                    .help("put it in quotes"));
            }
            DeValue::Array(_) => self
                .array()?
                .map(|item| item.json())
                .collect::<Result<_, _>>()?,
            DeValue::Table(_) => Value::Object(self.object()?),
        })
    }
}

/// Formats text as a TOML string.
pub fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// Returns the type of a value, with its article.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// Returns the name in `known` that was most likely meant by `name`.
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // A name this long is no typing error; the search takes time and memory by its length.
    const LONGEST: usize = 64;
    if name.len() > LONGEST {
        return None;
    }
    let allowed = 1 + name.chars().count() / 4;
    known
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|&(distance, _)| distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Result<Object, String> {
        let document = Document::new(text, Path::new("x.toml")).unwrap();
        let entries = document.parse().map_err(|error| error.to_string())?;
        let item = document.root(&entries).get("a").expect("the text sets `a`");
        item.object().map_err(|error| error.to_string())
    }

    #[test]
    fn a_table_becomes_the_same_json() {
        let text = "[a]\ns = 'x'\ni = 0x10\nn = -1_000\nf = 1.5e3\nb = true\nl = [1, [2], { k = 'v' }]\n[a.t]\nx = 1";
        assert_eq!(
            Value::Object(object(text).unwrap()),
            serde_json::json!({
                "s": "x", "i": 16, "n": -1000, "f": 1500.0, "b": true,
                "l": [1, [2], {"k": "v"}], "t": {"x": 1},
            })
        );
    }

    #[test]
    fn every_value_is_on_a_line() {
        let text = "[a]\ns = [\n  'x',\n  { 'k/~' = 1 },\n]\n[a.t]\nx = 1";
        let document = Document::new(text, Path::new("x.toml")).unwrap();
        let entries = document.parse().unwrap();
        let lines = document.root(&entries).get("a").unwrap().lines();
        let expected = [
            ("", 1),
            ("/s", 2),
            ("/s/0", 3),
            ("/s/1", 4),
            ("/s/1/k~1~0", 4),
            ("/t", 6),
            ("/t/x", 7),
        ];
        let expected = expected.map(|(pointer, line)| (pointer.to_owned(), line));
        assert_eq!(lines, BTreeMap::from(expected));
    }

    #[test]
    fn what_json_cannot_hold_is_refused_with_its_line() {
        for (value, message) in [
            (
                "1979-05-27",
                "`a.x.y` is a date, which JSON has no type for",
            ),
            ("nan", "`a.x.y` is no number that JSON can hold"),
            ("-inf", "`a.x.y` is no number that JSON can hold"),
            ("9223372036854775808", "`a.x.y` does not fit in 64 bits"),
            (
                "3.14159265358979323846",
                "`a.x.y` has more digits than a double keeps",
            ),
        ] {
            let error = object(&format!("[a]\n\n[[a.x]]\ny = {value}")).unwrap_err();
            assert!(
                error.starts_with(&format!("{message}\n  --> x.toml:4")),
                "{error}"
            );
        }
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_stack_overflow() {
        let text = format!(
            "a = {{ b = {}1{} }}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        assert!(object(&text).unwrap_err().contains("recursion"));
    }

    #[test]
    fn the_nearest_name_is_near() {
        let known = ["attempts", "backoff", "on"];
        assert_eq!(nearest("atempts", known), Some("attempts"));
        assert_eq!(nearest("no", known), Some("on"));
        assert_eq!(nearest("deadline", known), None);
        assert_eq!(nearest(&"a".repeat(100_000), known), None);
    }
}
