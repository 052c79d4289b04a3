//! Creates the database of one scenario, with the rows of the initial state.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::any;
use anyhow::Result;
use cairn::clock::{Clock as _, ManualClock, Timestamp};
use cairn::effect::Caller;
use cairn::store::HostStore;
use cairn::store::view::View;
use cairn::volumes::operator::{OperateVolumes as _, ReadVolumes as _, kind};
use cairn::volumes::quota::QuotaConfig;
use cairn::volumes::{KeyCreate, Settings};
use cairn::{Identity, Object, StoreError, Value};
use serde_json::json;

use super::database::{Databases, Opened, Place};
use super::format::{Config, State};
use super::names::Names;

/// The time at which scenarios begin.
const BEGINNING: Timestamp = Timestamp(1_382_000_000_000_000);

/// A zone that no request names. If the table contains it, other zones are valid only if they are in the table too.
const NOWHERE: &str = "\u{1}nowhere";

/// The database of one scenario.
pub struct World {
    /// The clock, which advances only on request.
    pub clock: Arc<ManualClock>,
    /// The store.
    pub store: Arc<dyn HostStore>,
    /// The positions of the initial volumes.
    order: HashMap<String, usize>,
    /// Real ids of the keys in the vector, by name and project.
    keys: Mutex<HashMap<(String, String), String>>,
    /// Dropped after the store.
    _place: Place,
}

/// Returns the identity that creates the initial state.
fn nobody() -> Identity {
    Identity::new("harness", "harness").into_admin()
}

impl World {
    /// Creates the database with the initial state.
    ///
    /// # Errors
    /// If the database rejects a row.
    pub fn new(
        databases: &Databases,
        config: &Config,
        state: &State,
        names: &Names,
    ) -> Result<Self> {
        let clock = Arc::new(ManualClock::new(BEGINNING));
        // Cinder falls back to the older option if the newer one is not set.
        let zone = config
            .default_availability_zone
            .as_deref()
            .filter(|zone| !zone.is_empty());
        let settings = any::config(Settings {
            quota: QuotaConfig {
                volumes: config.quota_volumes,
                snapshots: config.quota_snapshots,
                gigabytes: config.quota_gigabytes,
                use_default_class: config.use_default_quota_class,
                no_snapshot_gigabytes: config.no_snapshot_gb_quota,
                reservation_expire: config.reservation_expire,
                until_refresh: config.until_refresh,
                max_age: config.max_age,
            },
            default_volume_type: config.default_volume_type.clone(),
            default_zone: Some(zone.unwrap_or(&config.storage_availability_zone).to_owned()),
            ..Settings::default()
        });
        let Opened { store, place } = databases.open(settings, Arc::clone(&clock) as _)?;
        let ids = state
            .volumes
            .iter()
            .filter_map(|row| row.get("id")?.as_str());
        let world = Self {
            clock,
            store,
            order: ids
                .enumerate()
                .map(|(index, id)| (id.to_owned(), index))
                .collect(),
            keys: Mutex::default(),
            _place: place,
        };
        world.import(&world.rows(state, names)?)?;
        Ok(world)
    }

    /// Inserts rows unchanged.
    ///
    /// # Errors
    /// If the database rejects one.
    pub fn import(&self, rows: &BTreeMap<String, Vec<Object>>) -> Result<(), StoreError> {
        self.store.admin(&nobody(), |admin| admin.import(rows))
    }

    /// Returns a row of a volume or a snapshot in the form of the table.
    ///
    /// # Errors
    /// Those of the database.
    pub fn row(&self, row: &Object, names: &Names) -> Result<Object, StoreError> {
        let project = row
            .get("project_id")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let mut row = self.with_keys(row, project, names)?;
        row.insert("created_at".to_owned(), self.clock.now().0.into());
        Ok(row)
    }

    /// Returns the initial state as rows of the tables.
    fn rows(
        &self,
        state: &State,
        names: &Names,
    ) -> Result<BTreeMap<String, Vec<Object>>, StoreError> {
        let now = self.clock.now().0;
        let at = |seconds: &Value| seconds.as_i64().map(|seconds| now + seconds * 1_000_000);
        let booked = |rows: &[Object]| -> Result<Vec<Object>, StoreError> {
            let rows = rows.iter().map(|row| {
                let mut row = self.row(row, names)?;
                row.insert("booked".to_owned(), true.into());
                Ok(row)
            });
            rows.collect()
        };
        let usages = state.quota_usages.iter().cloned().map(|mut usage| {
            let ago = usage.remove("updated_seconds_ago").unwrap_or_default();
            let updated = ago.as_i64().and_then(|ago| at(&Value::from(-ago)));
            usage.insert("updated_at".to_owned(), updated.into());
            usage
        });
        let reservations = state.reservations.iter().cloned().map(|mut reservation| {
            let expire = reservation.remove("expires_in_seconds").unwrap_or_default();
            reservation.insert("expire".to_owned(), at(&expire).into());
            reservation.insert("created_at".to_owned(), now.into());
            reservation
        });
        let images = state.images.iter().map(|(id, image)| {
            let mut image = image.clone();
            // Keeps the columns of an image that determine the size of a volume.
            image.retain(|name, value| {
                ["size", "min_disk", "status"].contains(&name.as_str()) && !value.is_null()
            });
            image.insert("id".to_owned(), id.as_str().into());
            image.insert("created_at".to_owned(), now.into());
            image
        });
        let tables = [
            ("quota_classes", state.quota_classes.clone()),
            ("quotas", state.quotas.clone()),
            ("quota_usages", usages.collect()),
            ("reservations", reservations.collect()),
            ("volumes", booked(&state.volumes)?),
            ("snapshots", booked(&state.snapshots)?),
            ("volume_types", state.volume_types.clone()),
            ("encryptions", state.encryptions.clone()),
            ("qos_specs", state.qos_specs.clone()),
            ("images", images.collect()),
        ];
        Ok(tables
            .into_iter()
            .map(|(table, rows)| (table.to_owned(), rows))
            .collect())
    }

    // ---- Keys ----------------------------------------------------------------------------------------------------

    /// Replaces the names of keys in a row by real keys. The vectors do not say which project owns a key: it is created
    /// for `project` if that has none of this name, and keeps the vector's name.
    ///
    /// # Errors
    /// Those of the database.
    pub fn with_keys(
        &self,
        row: &Object,
        project: &str,
        names: &Names,
    ) -> Result<Object, StoreError> {
        let mut real = row.clone();
        for (column, value) in &mut real {
            match value {
                Value::Object(row) => *row = self.with_keys(row, project, names)?,
                Value::String(key) if column == "encryption_key_id" && !key.is_empty() => {
                    *key = self.key(key, project, names)?;
                }
                _ => {}
            }
        }
        Ok(real)
    }

    /// Returns the id of the project's key that the vector calls `name`.
    fn key(&self, name: &str, project: &str, names: &Names) -> Result<String, StoreError> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = (name.to_owned(), project.to_owned());
        if let Some(id) = keys.get(&entry) {
            return Ok(id.clone());
        }
        let owner = Identity::new("harness", project);
        let caller = Caller {
            call: None,
            requester: &owner,
        };
        let (id, _) = self.store.apply_dyn(caller, &KeyCreate)?;
        let id = *id.downcast::<String>().expect("an id");
        names.name(&id, name);
        keys.insert(entry, id.clone());
        Ok(id)
    }

    // ---- Changes between requests ---------------------------------------------------------------------------------

    /// Advances the clock.
    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Makes only these zones valid; every zone if `None`.
    ///
    /// # Errors
    /// Those of the database.
    pub fn set_zones(&self, zones: Option<&[String]>) -> Result<(), StoreError> {
        self.store.admin(&nobody(), |admin| {
            for zone in admin.view().zones()? {
                admin.delete_zone(&zone)?;
            }
            for zone in zones.into_iter().flatten() {
                admin.create_zone(zone)?;
            }
            if zones.is_some() {
                admin.create_zone(NOWHERE)?;
            }
            Ok(())
        })
    }

    // ---- The final state ------------------------------------------------------------------------------------------

    /// Reads as a caller who may see everything.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn read<T>(
        &self,
        read: impl FnOnce(&View<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.store.read(&nobody(), read)
    }

    /// Returns the rows of the tables that the vectors compare.
    ///
    /// # Errors
    /// Those of the database.
    pub fn rows_after(&self, names: &Names) -> Result<Value, StoreError> {
        self.read(|view| {
            Ok(json!({
                "volumes": self.volumes(view, names)?,
                "snapshots": snapshots(view)?,
                "quota_usages": usages(view)?,
                "reservations": reservations(view, names)?,
            }))
        })
    }

    /// Returns volumes, including deleted ones, in the order of their creation.
    fn volumes(&self, view: &View<'_>, names: &Names) -> Result<Vec<Value>, StoreError> {
        let mut volumes = Vec::new();
        for mut row in view.list(&kind::VOLUME, None, true)? {
            let id = row
                .get("id")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            let metadata = view.metadata(&id)?;
            let deleted = row.get("deleted") == Some(&Value::from(true));
            let has_metadata = metadata
                .as_object()
                .is_some_and(|metadata| !metadata.is_empty());
            // The original keeps metadata in rows of their own, which are deleted with the volume.
            row.insert(
                "metadata_deleted".to_owned(),
                (deleted && has_metadata).into(),
            );
            row.insert("metadata".to_owned(), metadata);
            let place = self.order.get(&id).copied().unwrap_or(usize::MAX);
            volumes.push((place, names.shown(&Value::Object(row))));
        }
        // New volumes follow those of the initial state; their ids increase.
        volumes.sort_by_key(|(place, _)| *place);
        Ok(volumes.into_iter().map(|(_, volume)| volume).collect())
    }
}

/// Parses a time in the store's format.
pub fn timestamp(text: &str) -> Option<Timestamp> {
    Some(Timestamp(
        text.parse::<jiff::Timestamp>().ok()?.as_microsecond(),
    ))
}

fn some_columns(row: &Object, columns: &[&str]) -> Value {
    let columns = columns.iter().map(|column| {
        let value = row.get(*column).cloned().unwrap_or_default();
        ((*column).to_owned(), value)
    });
    Value::Object(columns.collect())
}

fn snapshots(view: &View<'_>) -> Result<Vec<Value>, StoreError> {
    let snapshots = view.list(&kind::SNAPSHOT, None, true)?;
    let shown = snapshots
        .iter()
        .map(|row| some_columns(row, &["id", "project_id", "status", "deleted"]));
    Ok(shown.collect())
}

/// Returns usages, including those of destroyed projects.
pub fn usages(view: &View<'_>) -> Result<Vec<Value>, StoreError> {
    let usages = view.list(&kind::USAGE, None, true)?;
    let columns = [
        "project_id",
        "resource",
        "in_use",
        "reserved",
        "until_refresh",
        "deleted",
    ];
    Ok(usages
        .iter()
        .map(|row| some_columns(row, &columns))
        .collect())
}

/// Returns reservations; a closed one counts as deleted.
pub fn reservations(view: &View<'_>, names: &Names) -> Result<Vec<Value>, StoreError> {
    let reservations = view.list(&kind::RESERVATION, None, true)?;
    let shown = reservations.iter().map(|row| {
        let mut shown = some_columns(row, &["id", "project_id", "resource", "delta"]);
        shown["deleted"] = Value::from(row.get("state") != Some(&Value::from("open")));
        names.shown(&shown)
    });
    Ok(shown.collect())
}
