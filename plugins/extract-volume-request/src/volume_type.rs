//! Determines the type of the volume.

use cairn_plugin::{Error, log};

use crate::source::{Row, Sources, text};

/// Returns the id of the volume's type, if it has one.
///
/// The type of a snapshot, or of the volume that a backup was made of, overrides the requested type. The type of a
/// source volume is used only when none is requested.
pub(crate) fn id(asked: Option<&Row>, sources: Sources<'_>) -> Result<Option<String>, Error> {
    let asked = asked.filter(|asked| !asked.is_empty());
    let row = match (asked, sources.full_volume()) {
        (None, Some(volume)) => return owned(text("volume_type_id", volume)?),
        _ => sources.snapshot.or(sources.backup),
    };
    let asked_id = asked.map_or(Ok(None), |asked| text("id", asked))?;
    let Some(row) = row else {
        return owned(asked_id);
    };
    let kept = text("volume_type_id", row)?;
    if asked.is_some() && asked_id != kept {
        log::warn("the volume gets the type of its source instead of the one asked for");
    }
    owned(kept)
}

fn owned(id: Option<&str>) -> Result<Option<String>, Error> {
    Ok(id.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use cairn_plugin::testing::FakeHost;
    use serde_json::json;

    use super::*;
    use crate::tests::row;

    /// Returns the id when `asked` is requested with these sources, and whether a warning was logged.
    fn id_of(
        asked: Option<&str>,
        snapshot: bool,
        volume: bool,
        backup: bool,
    ) -> (Option<String>, bool) {
        let asked = asked.map(|id| row(json!({"id": id})));
        let source = row(json!({"volume_type_id": "source"}));
        let of = |there: bool| there.then_some(&source);
        let sources = Sources {
            snapshot: of(snapshot),
            volume: of(volume),
            backup: of(backup),
        };
        let host = FakeHost::new();
        let id = host.run(|| id(asked.as_ref(), sources)).unwrap();
        (id, !host.calls("log.write").is_empty())
    }

    #[test]
    fn without_a_source_it_is_what_was_asked_for() {
        assert_eq!(id_of(None, false, false, false), (None, false));
        assert_eq!(
            id_of(Some("asked"), false, false, false),
            (Some("asked".into()), false)
        );
    }

    #[test]
    fn a_source_volume_gives_its_type_when_none_is_asked_for() {
        assert_eq!(
            id_of(None, false, true, false),
            (Some("source".into()), false)
        );
        assert_eq!(
            id_of(Some("asked"), false, true, false),
            (Some("asked".into()), false)
        );
    }

    #[test]
    fn a_snapshot_and_a_backup_keep_their_type() {
        for (snapshot, backup) in [(true, false), (false, true)] {
            assert_eq!(
                id_of(None, snapshot, false, backup),
                (Some("source".into()), false)
            );
            assert_eq!(
                id_of(Some("asked"), snapshot, false, backup),
                (Some("source".into()), true)
            );
            assert_eq!(
                id_of(Some("source"), snapshot, false, backup),
                (Some("source".into()), false)
            );
        }
    }
}
