//! Reads the source of a volume: nothing, an image, a snapshot, another volume, or the volume that a backup was made
//! of.
//!
//! An empty object counts as given when the request is checked for mutually exclusive sources, but as absent when its
//! content is needed.

use cairn_plugin::{Error, bail};
use serde_json::{Map, Value};

use crate::Inputs;

/// A row of the database, as passed to the flow.
pub(crate) type Row = Map<String, Value>;

/// The rows that supply the values that the request omits.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sources<'a> {
    pub(crate) snapshot: Option<&'a Row>,
    pub(crate) volume: Option<&'a Row>,
    pub(crate) backup: Option<&'a Row>,
}

/// Checks that at most one of snapshot, image and source volume is given.
pub(crate) fn check_exclusive(inputs: &Inputs) -> Result<(), Error> {
    let given: Vec<&str> = [
        ("snapshot", inputs.snapshot.is_some()),
        ("image_id", inputs.image_id.is_some()),
        ("source_volume", inputs.source_volume.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, given)| given.then_some(name))
    .collect();
    if given.len() > 1 {
        bail!(
            "InvalidInput",
            "{} exclude each other; give one of them",
            given.join(" and ")
        );
    }
    Ok(())
}

impl<'a> Sources<'a> {
    /// Returns the snapshot, if it is not empty.
    pub(crate) fn full_snapshot(self) -> Option<&'a Row> {
        self.snapshot.filter(|row| !row.is_empty())
    }

    /// Returns the source volume, if it is not empty.
    pub(crate) fn full_volume(self) -> Option<&'a Row> {
        self.volume.filter(|row| !row.is_empty())
    }

    /// Returns whether a snapshot or a source volume is not empty. A backup does not count.
    pub(crate) fn has_content(self) -> bool {
        self.full_snapshot().or(self.full_volume()).is_some()
    }

    /// Returns the id of the snapshot, which must be available.
    pub(crate) fn snapshot_id(self) -> Result<Option<String>, Error> {
        self.full_snapshot()
            .map(|row| usable("InvalidSnapshot", "snapshot", row, &["available"]))
            .transpose()
    }

    /// Returns the id of the source volume, which must be available or in use.
    pub(crate) fn volume_id(self) -> Result<Option<String>, Error> {
        self.full_volume()
            .map(|row| usable("InvalidVolume", "volume", row, &["available", "in-use"]))
            .transpose()
    }

    /// Returns the zone of the source: that of the snapshot's volume takes precedence.
    pub(crate) fn zone(self) -> Option<String> {
        self.snapshot_zone()
            .or_else(|| self.volume_zone())
            .map(str::to_owned)
    }

    /// Returns the zone of the snapshot's volume.
    pub(crate) fn snapshot_zone(self) -> Option<&'a str> {
        self.snapshot?
            .get("volume")?
            .get("availability_zone")?
            .as_str()
    }

    /// Returns the zone of the source volume.
    pub(crate) fn volume_zone(self) -> Option<&'a str> {
        self.volume?.get("availability_zone")?.as_str()
    }

    /// Returns the encryption key of the source.
    pub(crate) fn encryption_key_id(self) -> Result<Option<&'a str>, Error> {
        match self.snapshot.or(self.volume).or(self.backup) {
            Some(row) => text("encryption_key_id", row),
            None => Ok(None),
        }
    }
}

/// Returns a column that must be text or null.
pub(crate) fn text<'a>(column: &str, row: &'a Row) -> Result<Option<&'a str>, Error> {
    match row.get(column) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => bail!("InvalidInput", "`{column}` is text, not {other}"),
    }
}

/// Returns the id of a row, which must be in one of these states.
fn usable(kind: &str, what: &str, row: &Row, states: &[&str]) -> Result<String, Error> {
    let Some(id) = text("id", row)? else {
        bail!(kind, "the {what} has no id")
    };
    match text("status", row)? {
        Some(status) if states.contains(&status) => Ok(id.to_owned()),
        status => {
            let (status, states) = (status.unwrap_or("unknown"), states.join(" or "));
            bail!(kind, "{what} `{id}` is {status}; it must be {states}")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tests::row;

    #[test]
    fn an_empty_object_names_a_source_but_says_nothing() {
        let empty = Row::new();
        let sources = Sources {
            snapshot: Some(&empty),
            volume: None,
            backup: None,
        };
        assert!(!sources.has_content());
        assert_eq!(sources.snapshot_id(), Ok(None));
    }

    #[test]
    fn a_source_must_be_in_a_usable_state() {
        let in_state = |status: &str| row(json!({"id": "x", "status": status}));
        let snapshot = |row: &Row| {
            Sources {
                snapshot: Some(row),
                ..Sources::default()
            }
            .snapshot_id()
        };
        let volume = |row: &Row| {
            Sources {
                volume: Some(row),
                ..Sources::default()
            }
            .volume_id()
        };

        assert_eq!(snapshot(&in_state("available")), Ok(Some("x".into())));
        assert!(
            snapshot(&in_state("in-use"))
                .unwrap_err()
                .is("InvalidSnapshot")
        );
        assert!(
            snapshot(&in_state("AVAILABLE"))
                .unwrap_err()
                .is("InvalidSnapshot")
        );
        assert_eq!(volume(&in_state("available")), Ok(Some("x".into())));
        assert_eq!(volume(&in_state("in-use")), Ok(Some("x".into())));
        assert!(volume(&in_state("error")).unwrap_err().is("InvalidVolume"));
        assert!(
            volume(&row(json!({"id": "x"})))
                .unwrap_err()
                .is("InvalidVolume")
        );
    }

    #[test]
    fn the_zone_of_a_snapshot_is_that_of_its_volume() {
        let snapshot =
            row(json!({"availability_zone": "no", "volume": {"availability_zone": "az1"}}));
        let volume = row(json!({"availability_zone": "az2"}));
        let homeless = row(json!({"volume": null}));
        let of = |snapshot| {
            Sources {
                snapshot,
                volume: Some(&volume),
                backup: None,
            }
            .zone()
        };
        assert_eq!(of(Some(&snapshot)).as_deref(), Some("az1"));
        assert_eq!(of(Some(&homeless)).as_deref(), Some("az2"));
        assert_eq!(of(None).as_deref(), Some("az2"));
    }

    #[test]
    fn the_key_comes_from_the_first_source_that_is_there() {
        let keyless = row(json!({"encryption_key_id": null}));
        let keyed = row(json!({"encryption_key_id": "k1"}));
        let key = |sources: Sources<'static>| sources.encryption_key_id();
        let (keyless, keyed): (&'static Row, &'static Row) =
            (Box::leak(keyless.into()), Box::leak(keyed.into()));
        assert_eq!(
            key(Sources {
                backup: Some(keyed),
                ..Sources::default()
            }),
            Ok(Some("k1"))
        );
        assert_eq!(
            key(Sources {
                volume: Some(keyless),
                backup: Some(keyed),
                snapshot: None
            }),
            Ok(None)
        );
        assert_eq!(
            key(Sources {
                snapshot: Some(keyed),
                volume: Some(keyless),
                backup: None
            }),
            Ok(Some("k1"))
        );
        assert_eq!(key(Sources::default()), Ok(None));
    }
}
