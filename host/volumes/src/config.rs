//! Parses the settings of block storage in `cairn.toml`.

use std::path::Path;

use cairn_effects::keyring::KeySource;
use cairn_manifest::document::{Document, Table};
use cairn_model::error::Diagnostic;
use cairn_model::text::Text;

use crate::quota::QuotaConfig;
use crate::rules::Settings;

/// The keys of a `cairn.toml` that [`Settings::parse`] reads.
pub const CONFIG_KEYS: &[&str] = &["zone", "default_volume_type", "quota"];

const QUOTA_KEYS: &[&str] = &[
    "volumes",
    "snapshots",
    "gigabytes",
    "use_default_class",
    "no_snapshot_gigabytes",
    "reservation_expire",
    "until_refresh",
    "max_age",
];

impl Settings {
    /// Reads the settings of block storage in the text of a `cairn.toml`; ignores other keys. `file` names it in messages.
    ///
    /// # Errors
    /// The first mistake, with its line and the fix.
    pub fn parse(text: &str, file: &Path) -> Result<Self, Diagnostic> {
        let document = Document::new(text, file)?;
        let entries = document.parse()?;
        let root = document.root(&entries);
        let word = |key| -> Result<Option<String>, Diagnostic> {
            Ok(root.limited(key, Text::Word)?.map(str::to_owned))
        };
        Ok(Self {
            quota: match root.get("quota") {
                Some(item) => quota(&item.table()?.only(QUOTA_KEYS)?)?,
                None => QuotaConfig::default(),
            },
            default_volume_type: word("default_volume_type")?,
            default_zone: word("zone")?,
            keys: KeySource::Memory,
        })
    }
}

fn quota(table: &Table<'_>) -> Result<QuotaConfig, Diagnostic> {
    let defaults = QuotaConfig::default();
    let limit = |key, default| match table.get(key) {
        Some(item) => item.at_least(-1, "-1 is unlimited"),
        None => Ok(default),
    };
    let count = |key, default: i64| match table.get(key) {
        Some(item) => item.at_least(0, "0 is never"),
        None => Ok(default),
    };
    let seconds = |key, default: u64| match table.get(key) {
        Some(item) => item.at_least(0, "it counts seconds").map(i64::unsigned_abs),
        None => Ok(default),
    };
    let flag = |key, default| match table.get(key) {
        Some(item) => item.flag(),
        None => Ok(default),
    };
    Ok(QuotaConfig {
        volumes: limit("volumes", defaults.volumes)?,
        snapshots: limit("snapshots", defaults.snapshots)?,
        gigabytes: limit("gigabytes", defaults.gigabytes)?,
        use_default_class: flag("use_default_class", defaults.use_default_class)?,
        no_snapshot_gigabytes: flag("no_snapshot_gigabytes", defaults.no_snapshot_gigabytes)?,
        reservation_expire: seconds("reservation_expire", defaults.reservation_expire)?,
        until_refresh: count("until_refresh", defaults.until_refresh)?,
        max_age: seconds("max_age", defaults.max_age)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, String> {
        Settings::parse(text, Path::new("etc/cairn.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_needed() {
        assert_eq!(parse(""), Ok(Settings::default()));
    }

    #[test]
    fn every_key_is_read_and_others_are_passed_over() {
        let text = "db = 'a.db'\nzone = 'z'\ndefault_volume_type = 't'\n[quota]\nvolumes = 1\nsnapshots = 2\ngigabytes = -1\n\
                    use_default_class = false\nno_snapshot_gigabytes = true\nreservation_expire = 3\nuntil_refresh = 4\nmax_age = 5";
        let expected = Settings {
            quota: QuotaConfig {
                volumes: 1,
                snapshots: 2,
                gigabytes: -1,
                use_default_class: false,
                no_snapshot_gigabytes: true,
                reservation_expire: 3,
                until_refresh: 4,
                max_age: 5,
            },
            default_volume_type: Some("t".to_owned()),
            default_zone: Some("z".to_owned()),
            keys: KeySource::Memory,
        };
        assert_eq!(parse(text), Ok(expected));
        // Fails if a key is added to the struct but not to the lists.
        let keys = serde_json::to_value(QuotaConfig::default()).unwrap();
        let mut keys: Vec<_> = keys
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let mut known = QUOTA_KEYS.to_vec();
        keys.sort_unstable();
        known.sort_unstable();
        assert_eq!(keys, known);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_the_fix() {
        for (text, expected) in [
            (
                "[quota]\nvolume = 1",
                "unknown key `volume` in [quota]\n  --> etc/cairn.toml:2\n  help: did you mean `volumes`?",
            ),
            ("zone = '  '", "`zone` is empty\n  --> etc/cairn.toml:1"),
            (
                "[quota]\n\nvolumes = -2",
                "`quota.volumes` must be -1 or more, not -2\n  --> etc/cairn.toml:3\n  help: -1 is unlimited",
            ),
            (
                "quota.max_age = -1",
                "`quota.max_age` must be 0 or more, not -1\n  --> etc/cairn.toml:1\n  help: it counts seconds",
            ),
            (
                "quota.use_default_class = 1",
                "`quota.use_default_class` must be true or false\n  --> etc/cairn.toml:1",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), expected);
        }
    }
}
