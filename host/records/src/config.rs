//! Parses the settings of records in `cairn.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cairn_manifest::document::{Document, Item, Table};
use cairn_model::error::Diagnostic;
use cairn_model::file;
use cairn_model::text::Text;
use cairn_model::value::{self, Value};

use crate::settings::{Bounds, Collection, Limits, Reads, Settings, ValueSchema};

/// The keys of a `cairn.toml` that [`Settings::parse`] reads.
pub const CONFIG_KEYS: &[&str] = &["records"];

const COLLECTION_KEYS: &[&str] = &[
    "schema",
    "max_bytes",
    "max_keys",
    "max_total",
    "reads",
    "counters",
    "sequences",
];

/// The greatest `max_bytes`: a value is passed to a plugin in one piece.
const MOST_BYTES: i64 = 4 << 20;

impl Settings {
    /// Reads `[records.NAME]` in the text of a `cairn.toml`; ignores other keys. `file` names it in messages; relative paths of schema
    /// files start at its folder.
    ///
    /// # Errors
    /// The first mistake, with its line and the fix.
    pub fn parse(text: &str, file: &Path) -> Result<Self, Diagnostic> {
        let document = Document::new(text, file)?;
        let entries = document.parse()?;
        let folder = file.parent().unwrap_or_else(|| Path::new(""));
        match document.root(&entries).get("records") {
            Some(item) => Self::read(&item, folder),
            None => Ok(Self::default()),
        }
    }

    /// Reads a table of collections by name.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn read(item: &Item<'_>, folder: &Path) -> Result<Self, Diagnostic> {
        let mut collections = BTreeMap::new();
        for (name, item) in item.table()?.items() {
            check_name(&item, name)?;
            let table = item.table()?.only(COLLECTION_KEYS)?;
            collections.insert(name.to_owned(), collection(&table, folder)?);
        }
        Ok(Self { collections })
    }
}

fn collection(table: &Table<'_>, folder: &Path) -> Result<Collection, Diagnostic> {
    let defaults = Limits::default();
    let most = |key| -> Result<Option<u64>, Diagnostic> {
        let number = table
            .get(key)
            .map(|item| item.at_least(0, "leave it out for no limit"));
        Ok(number.transpose()?.map(i64::unsigned_abs))
    };
    Ok(Collection {
        schema: table
            .get("schema")
            .map(|item| schema(&item, folder))
            .transpose()?,
        limits: Limits {
            max_bytes: match table.get("max_bytes") {
                Some(item) => bytes(&item)?,
                None => defaults.max_bytes,
            },
            max_keys: most("max_keys")?,
            max_total: most("max_total")?,
        },
        reads: table
            .get("reads")
            .map(|item| reads(&item))
            .transpose()?
            .unwrap_or_default(),
        counters: match table.get("counters") {
            Some(item) => counters(&item)?,
            None => BTreeMap::new(),
        },
        sequences: match table.get("sequences") {
            Some(item) => sequences(&item)?,
            None => BTreeSet::new(),
        },
    })
}

fn bytes(item: &Item<'_>) -> Result<u64, Diagnostic> {
    match item.at_least(1, "it counts bytes of one value")? {
        number if number > MOST_BYTES => {
            Err(item.error(format!("must be {MOST_BYTES} or less, not {number}")))
        }
        number => Ok(number.unsigned_abs()),
    }
}

fn reads(item: &Item<'_>) -> Result<Reads, Diagnostic> {
    match item.text()? {
        "published" => Ok(Reads::Published),
        "latest" => Ok(Reads::Latest),
        other => Err(item
            .error(format!("is `{}`", other.escape_debug()))
            .help("write \"published\" or \"latest\"")),
    }
}

/// Reads a schema, given as a table or as the path of a file.
fn schema(item: &Item<'_>, folder: &Path) -> Result<ValueSchema, Diagnostic> {
    let written = match item.as_table() {
        Some(_) => Value::Object(item.object()?),
        None => {
            let named = item
                .text()
                .map_err(|error| error.help("write a table, or the path of a file of JSON"))?;
            let path = folder.join(named);
            let text = file::text(&path, file::MAX_TEXT).map_err(|error| {
                item.error(format!(
                    "names {}, which cannot be read: {error}",
                    path.display()
                ))
                .help("a path starts at the folder of this file")
            })?;
            value::parse(value::without_bom(&text)).map_err(|error| {
                item.error(value::refused(
                    &format!("names {}, which", path.display()),
                    &error,
                ))
            })?
        }
    };
    ValueSchema::new(written).map_err(|why| item.error(format!("cannot be used: {why}")))
}

fn counters(item: &Item<'_>) -> Result<BTreeMap<String, Bounds>, Diagnostic> {
    let mut counters = BTreeMap::new();
    for (name, item) in item.table()?.items() {
        check_name(&item, name)?;
        let table = item.table()?.only(&["min", "max"])?;
        let number = |key, default| table.get(key).map_or(Ok(default), |item| item.integer());
        let open = Bounds::default();
        let bounds = Bounds {
            min: number("min", open.min)?,
            max: number("max", open.max)?,
        };
        if !(bounds.min..=bounds.max).contains(&0) {
            return Err(item
                .error(format!(
                    "has no room for 0: it goes from {} to {}",
                    bounds.min, bounds.max
                ))
                .help("a counter begins at 0: `min` is at most 0, and `max` at least 0"));
        }
        counters.insert(name.to_owned(), bounds);
    }
    Ok(counters)
}

fn sequences(item: &Item<'_>) -> Result<BTreeSet<String>, Diagnostic> {
    let mut sequences = BTreeSet::new();
    for item in item.array()? {
        let name = item.text()?;
        check_name(&item, name)?;
        if !sequences.insert(name.to_owned()) {
            return Err(item.error(format!("names `{}` twice", name.escape_debug())));
        }
    }
    Ok(sequences)
}

/// Refuses an invalid name of a collection, counter or sequence. `*` is reserved for prefixes in grants.
fn check_name(item: &Item<'_>, name: &str) -> Result<(), Diagnostic> {
    if let Err(unfit) = Text::Name.check(name) {
        return Err(item.error(format!(
            "has the name `{}`, which {unfit}",
            name.escape_debug()
        )));
    }
    match name.contains(['*', '/']) {
        true => Err(item.error(format!("has the name `{name}`, which has a `*` or a `/`"))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(text: &str) -> Result<Settings, String> {
        Settings::parse(text, Path::new("etc/cairn.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_needed() {
        assert_eq!(parse("db = 'a.db'"), Ok(Settings::default()));
        let collection = parse("[records.dns]").unwrap().collections["dns"].clone();
        assert_eq!(collection, Collection::default());
        assert_eq!(collection.limits.max_bytes, 65536);
    }

    #[test]
    fn every_key_is_read() {
        let text = "[records.dns]\nschema = { type = 'object' }\nmax_bytes = 1\nmax_keys = 2\nmax_total = 3\nreads = 'latest'\n\
                    sequences = ['serial']\n[records.dns.counters.zones]\nmin = -1\nmax = 4\n[records.dns.counters.all]";
        let dns = &parse(text).unwrap().collections["dns"];
        let expected = Limits {
            max_bytes: 1,
            max_keys: Some(2),
            max_total: Some(3),
        };
        assert_eq!((dns.limits, dns.reads), (expected, Reads::Latest));
        assert_eq!(dns.counters["zones"], Bounds { min: -1, max: 4 });
        assert_eq!(dns.counters["all"], Bounds::default());
        assert!(dns.sequences.contains("serial"));
        let schema = dns.schema.as_ref().unwrap();
        assert_eq!(schema.violations(&json!({})), [""; 0]);
        assert_eq!(schema.violations(&json!(1)).len(), 1);
    }

    #[test]
    fn a_schema_in_a_file_is_looked_for_beside_the_settings() {
        let folder = std::env::temp_dir().join(format!("cairn-records-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("host.json"), r#"{"type": "integer"}"#).unwrap();
        let file = folder.join("cairn.toml");
        let read = |name: &str| Settings::parse(&format!("records.a.schema = '{name}'"), &file);
        let schema = read("host.json").unwrap().collections["a"].schema.clone();
        assert_eq!(schema.unwrap().violations(&json!("x")).len(), 1);
        let missing = read("other.json").unwrap_err().to_string();
        assert!(
            missing.contains("other.json, which cannot be read"),
            "{missing}"
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_the_fix() {
        for (text, expected) in [
            (
                "[records.dns]\nmax_key = 1",
                "unknown key `max_key` in [records.dns]\n  --> etc/cairn.toml:2\n  help: did you mean `max_keys`?",
            ),
            (
                "[records.dns]\nreads = 'old'",
                "`records.dns.reads` is `old`\n  --> etc/cairn.toml:2\n  help: write \"published\" or \"latest\"",
            ),
            (
                "[records.dns]\nmax_bytes = 0",
                "`records.dns.max_bytes` must be 1 or more, not 0\n  --> etc/cairn.toml:2\n  help: it counts bytes of one value",
            ),
            (
                "[records.dns.counters.n]\nmin = 1",
                "`records.dns.counters.n` has no room for 0: it goes from 1 to 9223372036854775807\n  --> etc/cairn.toml:1\n  \
                 help: a counter begins at 0: `min` is at most 0, and `max` at least 0",
            ),
            (
                "[records.dns]\nschema = { type = 'strange' }",
                "`records.dns.schema` cannot be used: ",
            ),
            (
                "[records.'a*']",
                "`records.a*` has the name `a*`, which has a `*` or a `/`\n  --> etc/cairn.toml:1",
            ),
            (
                "[records.a]\nsequences = ['x', 'x']",
                "`records.a.sequences` names `x` twice\n  --> etc/cairn.toml:2",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
