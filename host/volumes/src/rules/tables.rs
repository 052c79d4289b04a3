//! The tables of block storage, as rules see them.

use cairn_model::clock::Timestamp;
use cairn_model::error::TaskError;
use cairn_model::id::FlowId;

use cairn_effects::rows::{Bytes, Dumped, Hooks, Json, Key, Pruned, Text};
use cairn_effects::table;

const OWNED: Hooks = Hooks {
    owner: Some("project_id"),
    ..Hooks::NONE
};

const VOLUMES: Hooks = Hooks {
    version: Some("version"),
    flow: Some("flow"),
    title: Some("display_name"),
    hidden: &["version", "deleted", "deleted_at", "booked", "flow"],
    is_absent: |row| row.get("deleted") == Some(&true.into()),
    pruned: Pruned::Forget,
    dumped: &[("scheduled_at", Dumped::WhetherSet)],
    ..OWNED
};

const USAGES: Hooks = Hooks {
    out_of_range,
    dumped: &[("until_refresh", Dumped::LeftOut)],
    is_idle: |row| {
        ["in_use", "reserved"]
            .iter()
            .all(|counter| row.get(*counter) == Some(&0.into()))
    },
    ..OWNED
};

/// Makes the error of a usage that was removed or cannot hold a sum.
fn out_of_range(key: &Key) -> TaskError {
    let (project, resource) = match key.0.as_slice() {
        [project, resource, ..] => (&**project, &**resource),
        _ => ("", key.first()),
    };
    let message = format!(
        "the usage of `{resource}` of project `{project}` is gone, or cannot grow that far"
    );
    TaskError::new("QuotaOutOfRange", message)
}

const RESERVATIONS: Hooks = Hooks {
    flow: Some("flow"),
    hidden: &["flow"],
    is_absent: |row| row.get("state").is_some_and(|state| state != "open"),
    pruned: Pruned::Remove {
        closed: "state <> 'open'",
        name: "reservations",
        called: "closed reservation",
    },
    dumped: &[("expire", Dumped::LeftOut)],
    ..OWNED
};

const KEYS: Hooks = Hooks {
    flow: Some("flow"),
    hidden: &["sealed", "flow"],
    dumped: &[("sealed", Dumped::LeftOut)],
    ..OWNED
};

table! {
    /// A volume.
    pub struct Volume in "volumes", called "volume", touching "updated_at", with VOLUMES {
        key id;
        project_id: Option<Text>,
        user_id: Option<Text>,
        size: Option<i64>,
        status: Text,
        attach_status: Option<Text>,
        availability_zone: Option<Text>,
        display_name: Option<Text>,
        display_description: Option<Text>,
        volume_type_id: Option<Text>,
        snapshot_id: Option<Text>,
        source_volid: Option<Text>,
        encryption_key_id: Option<Text>,
        host: Option<Text>,
        scheduled_at: Option<Timestamp>,
        bootable: bool,
        metadata: Json,
        deleted: bool,
        /// Whether it is counted in its project's usage.
        booked: bool,
        /// Increases with each change, for compare-and-set.
        version: i64,
        /// The flow that created it.
        flow: Option<FlowId>,
        created_at: Timestamp,
        updated_at: Option<Timestamp>,
        deleted_at: Option<Timestamp>,
        /// Whether an operator deleted it while it was booked, and so returned its quota.
        returned: bool,
    }
}

/// Columns of a volume that a look-up returns.
pub const VOLUME: &[&str] = &[
    "id",
    "project_id",
    "user_id",
    "size",
    "status",
    "attach_status",
    "availability_zone",
    "display_name",
    "display_description",
    "volume_type_id",
    "snapshot_id",
    "source_volid",
    "encryption_key_id",
    "host",
    "scheduled_at",
    "bootable",
    "deleted",
    "created_at",
];

table! {
    /// A snapshot, which operators register.
    pub struct Snapshot in "snapshots", called "snapshot" {
        key id;
        project_id: Option<Text>,
        user_id: Option<Text>,
        volume_id: Option<Text>,
        volume_size: Option<i64>,
        volume_type_id: Option<Text>,
        status: Text,
        display_name: Option<Text>,
        display_description: Option<Text>,
        encryption_key_id: Option<Text>,
        deleted: bool,
        booked: bool,
        created_at: Timestamp,
        deleted_at: Option<Timestamp>,
        /// GiB that it counts for in `gigabytes`; `None` until that is filled in.
        booked_gigabytes: Option<i64>,
    }
}

/// Columns of a snapshot that a look-up returns.
pub const SNAPSHOT: &[&str] = &[
    "id",
    "project_id",
    "user_id",
    "volume_id",
    "volume_size",
    "volume_type_id",
    "status",
    "display_name",
    "display_description",
    "encryption_key_id",
    "deleted",
    "created_at",
];

table! {
    /// A volume type.
    pub struct VolumeType in "volume_types", called "volume type" {
        key id;
        name: Text,
        extra_specs: Json,
        qos_specs_id: Option<Text>,
        deleted: bool,
    }
}

/// Columns of a volume type that a look-up returns.
pub const VOLUME_TYPE: &[&str] = &["id", "name", "extra_specs", "qos_specs_id", "deleted"];

table! {
    /// QoS specs of volume types.
    pub struct QosSpecs in "qos_specs", called "QoS specs" {
        key id;
        name: Text,
        consumer: Text,
        specs: Json,
    }
}

/// Columns of QoS specs that a look-up returns.
pub const QOS_SPECS: &[&str] = &["id", "name", "consumer", "specs"];

table! {
    /// The encryption of a volume type.
    pub struct Encryption in "encryptions", called "encryption" {
        key volume_type_id;
        deleted: bool,
    }
}

table! {
    /// An image.
    pub struct Image in "images", called "image" {
        key id;
        /// The owner; `None` for a public image.
        project_id: Option<Text>,
        name: Option<Text>,
        size: i64,
        checksum: Option<Text>,
        min_disk: i64,
        status: Text,
        created_at: Timestamp,
    }
}

/// Columns of an image that a look-up returns.
pub const IMAGE: &[&str] = &[
    "id",
    "project_id",
    "name",
    "size",
    "checksum",
    "min_disk",
    "status",
    "created_at",
];

table! {
    /// A zone that volumes may be placed in.
    pub struct Zone in "zones", called "zone" {
        key name;
    }
}

table! {
    /// A project's own limit.
    pub struct ProjectLimit in "quotas", called "limit" {
        key project_id, resource;
        hard_limit: Option<i64>,
    }
}

table! {
    /// A limit of a quota class.
    pub struct ClassLimit in "quota_classes", called "limit" {
        key class_name, resource;
        hard_limit: Option<i64>,
    }
}

table! {
    /// A project's usage of a resource.
    pub struct QuotaUsage in "quota_usages", called "usage", where "deleted = FALSE", touching "updated_at", with USAGES {
        key project_id, resource;
        in_use: i64,
        reserved: i64,
        until_refresh: Option<i64>,
        updated_at: Option<Timestamp>,
    }
}

table! {
    /// A reservation of quota.
    pub struct Reservation in "reservations", called "reservation", with RESERVATIONS {
        key id;
        project_id: Text,
        resource: Text,
        delta: i64,
        /// `open`, `committed`, `rolled_back`, `expired` or `destroyed`.
        state: Text,
        expire: Timestamp,
        flow: Option<FlowId>,
        created_at: Timestamp,
    }
}

table! {
    /// A key, sealed with the master key.
    pub struct VolumeKey in "keys", called "key", with KEYS {
        key id;
        project_id: Text,
        sealed: Bytes,
        flow: Option<FlowId>,
        created_at: Timestamp,
    }
}
