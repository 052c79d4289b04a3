//! The kinds of rows that operators can list and show.

use cairn_effects::rows::{Column, Kind as Holds};
use cairn_store::view::{Kind, Owner, SoftDelete};

/// Volumes.
pub static VOLUME: Kind = Kind {
    table: "volumes",
    noun: "volume",
    columns: &[
        Column::new("id", Holds::Text),
        Column::new("project_id", Holds::Text),
        Column::new("user_id", Holds::Text),
        Column::new("size", Holds::Int),
        Column::new("status", Holds::Text),
        Column::new("attach_status", Holds::Text),
        Column::new("availability_zone", Holds::Text),
        Column::new("display_name", Holds::Text),
        Column::new("display_description", Holds::Text),
        Column::new("volume_type_id", Holds::Text),
        Column::new("snapshot_id", Holds::Text),
        Column::new("source_volid", Holds::Text),
        Column::new("encryption_key_id", Holds::Text),
        Column::new("host", Holds::Text),
        Column::new("scheduled_at", Holds::Time),
        Column::new("bootable", Holds::Bool),
        Column::new("deleted", Holds::Bool),
        Column::new("created_at", Holds::Time),
    ],
    owner: Owner::Project,
    name: Some("display_name"),
    deletion: SoftDelete::Readable,
};

/// Snapshots.
pub static SNAPSHOT: Kind = Kind {
    table: "snapshots",
    noun: "snapshot",
    columns: &[
        Column::new("id", Holds::Text),
        Column::new("project_id", Holds::Text),
        Column::new("user_id", Holds::Text),
        Column::new("volume_id", Holds::Text),
        Column::new("volume_size", Holds::Int),
        Column::new("volume_type_id", Holds::Text),
        Column::new("status", Holds::Text),
        Column::new("display_name", Holds::Text),
        Column::new("display_description", Holds::Text),
        Column::new("encryption_key_id", Holds::Text),
        Column::new("deleted", Holds::Bool),
        Column::new("created_at", Holds::Time),
    ],
    owner: Owner::Project,
    name: Some("display_name"),
    deletion: SoftDelete::Readable,
};

/// Volume types.
pub static VOLUME_TYPE: Kind = Kind {
    table: "volume_types",
    noun: "volume type",
    columns: &[
        Column::new("id", Holds::Text),
        Column::new("name", Holds::Text),
        Column::new("extra_specs", Holds::Json),
        Column::new("qos_specs_id", Holds::Text),
        Column::new("deleted", Holds::Bool),
    ],
    owner: Owner::Host,
    name: Some("name"),
    deletion: SoftDelete::Hidden,
};

/// QoS specs.
pub static QOS_SPECS: Kind = Kind {
    table: "qos_specs",
    noun: "QoS specs",
    columns: &[
        Column::new("id", Holds::Text),
        Column::new("name", Holds::Text),
        Column::new("consumer", Holds::Text),
        Column::new("specs", Holds::Json),
    ],
    owner: Owner::Host,
    name: Some("name"),
    deletion: SoftDelete::Never,
};

/// Images.
pub static IMAGE: Kind = Kind {
    table: "images",
    noun: "image",
    columns: &[
        Column::new("id", Holds::Text),
        Column::new("project_id", Holds::Text),
        Column::new("name", Holds::Text),
        Column::new("size", Holds::Int),
        Column::new("checksum", Holds::Text),
        Column::new("min_disk", Holds::Int),
        Column::new("status", Holds::Text),
        Column::new("created_at", Holds::Time),
    ],
    owner: Owner::ProjectOrEveryone,
    name: Some("name"),
    deletion: SoftDelete::Never,
};

/// Quota reservations.
pub static RESERVATION: Kind = Kind {
    table: "reservations",
    noun: "reservation",
    columns: &[
        Column::new("id", Holds::Text),
        Column::new("project_id", Holds::Text),
        Column::new("resource", Holds::Text),
        Column::new("delta", Holds::Int),
        Column::new("state", Holds::Text),
        Column::new("expire", Holds::Time),
        Column::new("created_at", Holds::Time),
    ],
    owner: Owner::Project,
    name: None,
    deletion: SoftDelete::Never,
};

/// Quota usages.
pub static USAGE: Kind = Kind {
    table: "quota_usages",
    noun: "usage",
    columns: &[
        Column::new("project_id", Holds::Text),
        Column::new("resource", Holds::Text),
        Column::new("in_use", Holds::Int),
        Column::new("reserved", Holds::Int),
        Column::new("until_refresh", Holds::Int),
        Column::new("updated_at", Holds::Time),
        Column::new("deleted", Holds::Bool),
    ],
    owner: Owner::Project,
    name: None,
    deletion: SoftDelete::Readable,
};

#[cfg(test)]
mod tests {
    use crate::rules as tables;
    use cairn_effects::rows::{Row as _, Table};

    use super::*;

    #[test]
    fn operators_are_shown_what_look_ups_show() {
        let kinds: [(&Kind, &Table, &[&str]); 5] = [
            (&VOLUME, tables::Volume::TABLE, tables::VOLUME),
            (&SNAPSHOT, tables::Snapshot::TABLE, tables::SNAPSHOT),
            (&VOLUME_TYPE, tables::VolumeType::TABLE, tables::VOLUME_TYPE),
            (&QOS_SPECS, tables::QosSpecs::TABLE, tables::QOS_SPECS),
            (&IMAGE, tables::Image::TABLE, tables::IMAGE),
        ];
        for (kind, table, shown) in kinds {
            assert_eq!((kind.table, kind.noun), (table.name, table.noun));
            let names: Vec<_> = kind.columns.iter().map(|column| column.name).collect();
            assert_eq!(names, shown, "{}", kind.table);
            for column in kind.columns {
                let known = table.columns[table.position(column.name).unwrap()];
                assert_eq!(column.kind, known.kind, "{}.{}", kind.table, column.name);
            }
        }
    }
}
