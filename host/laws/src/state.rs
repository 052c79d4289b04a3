//! Reads the start state of a case, and imports it into a database.

use std::collections::BTreeMap;
use std::path::Path;

use cairn::records::Expect;
use cairn::records::operator::OperateRecords as _;
use cairn::volumes::operator::OperateVolumes as _;
use cairn::{Diagnostic, Identity, Object, Sqlite, StoreError, Value};
use serde::Deserialize;
use serde_json::json;

use crate::document;

/// The time at which every case begins: 2025-06-18, in microseconds since 1970.
pub(crate) const BEGINNING: i64 = 1_750_233_600_000_000;

/// The rows before a flow runs. Keys are columns of the database's tables; omitted columns have defaults.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct State {
    /// Volumes; by default of the requester's project, `available`, with their quota booked. `id` is required.
    pub volumes: Vec<Object>,
    /// Snapshots, with the same defaults. `id` is required.
    pub snapshots: Vec<Object>,
    /// Volume types. `id` is required; `name` defaults to it.
    pub types: Vec<Object>,
    /// QoS specs, which types refer to by `qos_specs_id`. `id` is required.
    pub qos: Vec<Object>,
    /// Encryptions of volume types: `volume_type_id`, `provider`.
    pub encryptions: Vec<Object>,
    /// Images; by default public, of size 0. `id` is required.
    pub images: Vec<Object>,
    /// The valid zones; without any, every zone is valid.
    pub zones: Vec<String>,
    /// Limits of the requester's project: resource -> limit, -1 is unlimited.
    pub quotas: BTreeMap<String, i64>,
    /// Usages of the requester's project: resource -> `{ in_use, reserved }`. Without any, usages equal what is booked; otherwise those
    /// that are not named here are counted when they are first needed.
    pub usages: BTreeMap<String, Used>,
    /// Records of the requester's project: collection -> key -> value.
    pub records: BTreeMap<String, Object>,
}

/// The usage of a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Used {
    /// Committed.
    pub in_use: i64,
    /// Held by open reservations.
    pub reserved: i64,
}

impl State {
    /// Reads the text of a start state, with the keys of a case's `state`. `file` names it in messages.
    ///
    /// # Errors
    /// The first mistake, with its line.
    pub fn parse(text: &str, file: &Path) -> Result<Self, Diagnostic> {
        document::read(text, file)
    }

    /// Appends the rows of `other`.
    #[must_use]
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.volumes.extend(other.volumes);
        self.snapshots.extend(other.snapshots);
        self.types.extend(other.types);
        self.qos.extend(other.qos);
        self.encryptions.extend(other.encryptions);
        self.images.extend(other.images);
        self.zones.extend(other.zones);
        self.quotas.extend(other.quotas);
        self.usages.extend(other.usages);
        for (collection, records) in other.records {
            self.records.entry(collection).or_default().extend(records);
        }
        self
    }

    /// Inserts the rows into a database.
    pub(crate) fn import(&self, store: &Sqlite, requester: &Identity) -> Result<(), StoreError> {
        let project = requester.project_id.as_str();
        let rows = |rows: &[Object], defaults: Value| -> Vec<Object> {
            let rows = rows.iter().map(|row| {
                let mut whole = defaults.as_object().cloned().unwrap_or_default();
                whole.extend(row.clone());
                whole
            });
            rows.collect()
        };
        let owned = json!({
            "project_id": project, "user_id": requester.user_id, "status": "available", "booked": 1,
            "created_at": BEGINNING,
        });
        let types = self.types.iter().map(|row| {
            let mut row = row.clone();
            let id = row.get("id").cloned().unwrap_or_default();
            row.entry("name").or_insert(id);
            row
        });
        let object = |value: Value| value.as_object().cloned().unwrap_or_default();
        let quotas = self.quotas.iter().map(|(resource, limit)| {
            object(json!({"project_id": project, "resource": resource, "hard_limit": limit}))
        });
        let usages = self.usages.iter().map(|(resource, used)| {
            object(json!({
                "project_id": project, "resource": resource, "in_use": used.in_use,
                "reserved": used.reserved, "updated_at": BEGINNING,
            }))
        });
        let zones = self.zones.iter().map(|zone| object(json!({"name": zone})));
        let tables = [
            ("volumes", rows(&self.volumes, owned.clone())),
            ("snapshots", rows(&self.snapshots, owned)),
            ("volume_types", types.collect()),
            (
                "qos_specs",
                rows(&self.qos, json!({"consumer": "back-end"})),
            ),
            ("encryptions", self.encryptions.clone()),
            (
                "images",
                rows(&self.images, json!({"size": 0, "created_at": BEGINNING})),
            ),
            ("zones", zones.collect()),
            ("quotas", quotas.collect()),
            ("quota_usages", usages.collect()),
        ];
        let tables = tables
            .into_iter()
            .map(|(table, rows)| (table.to_owned(), rows))
            .collect();
        let operator = Identity::new("case", project).into_admin();
        store.admin(&operator, |admin| {
            admin.import(&tables)?;
            if self.usages.is_empty() {
                admin.sync_usages()?;
            }
            for (collection, records) in &self.records {
                for (key, value) in records {
                    admin.put_record(collection, key, value, Expect::Any)?;
                }
            }
            Ok(())
        })
    }
}
