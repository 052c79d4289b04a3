//! Effects on volumes.

use std::sync::Arc;

use cairn_model::error::{HostErrorKind, TaskError};
use cairn_model::value::{Object, Value};
use serde_json::json;

use super::scans;
use super::tables::{Snapshot, VOLUME, Volume, VolumeKey};
use cairn_effects::effect::Change;
use cairn_effects::rows::{AnyRow, Cell, Inverse, Json, Row, Rows, Stop, Text, Undo, typed};
use cairn_effects::rules::Effect;

/// Adds a volume that the caller's project owns.
#[derive(Clone, Debug, PartialEq)]
pub struct VolumeCreate {
    /// Columns of the volume; names that are no column are ignored.
    pub properties: Object,
}

/// Changes `status`, `host` or `scheduled_at` of a volume of the caller's project.
#[derive(Clone, Debug, PartialEq)]
pub struct VolumeUpdate {
    /// The volume.
    pub id: String,
    /// The new values; `scheduled_at` takes `"now"`.
    pub changes: Object,
}

/// Soft-deletes a volume that this flow created.
#[derive(Clone, Debug, PartialEq)]
pub struct VolumeDestroy {
    /// The volume.
    pub id: String,
}

impl Effect for VolumeCreate {
    const NAME: &'static str = "volume_create";
    const FUNCTION: &'static str = "volumes.create";
    /// The whole volume.
    type Answer = Value;

    fn arguments(&self) -> Value {
        json!({"properties": self.properties})
    }

    fn apply(&self, rows: &mut Rows<'_>) -> Result<Value, Stop> {
        create(rows, self).map(|volume| shown(&volume))
    }

    fn new_ids(volume: &Value) -> Vec<String> {
        let id = volume["id"].as_str();
        id.map(str::to_owned).into_iter().collect()
    }
}

impl Effect for VolumeUpdate {
    const NAME: &'static str = "volume_update";
    const FUNCTION: &'static str = "volumes.update";
    /// The whole volume.
    type Answer = Value;

    fn arguments(&self) -> Value {
        json!({"id": self.id, "changes": self.changes})
    }

    fn apply(&self, rows: &mut Rows<'_>) -> Result<Value, Stop> {
        update(rows, self)
    }
}

impl Effect for VolumeDestroy {
    const NAME: &'static str = "volume_destroy";
    const FUNCTION: &'static str = "volumes.destroy";
    type Answer = ();

    fn arguments(&self) -> Value {
        json!({"id": self.id})
    }

    fn apply(&self, rows: &mut Rows<'_>) -> Result<(), Stop> {
        destroy(rows, self)
    }
}

/// Returns a volume that the caller may see.
pub(super) fn visible(rows: &mut Rows<'_>, id: &str) -> Result<Arc<Volume>, Stop> {
    let Some(volume) = rows.get::<Volume>(id)? else {
        return Err(not_found(id));
    };
    let owner = volume.project_id.as_deref();
    if may_see(rows, owner, volume.deleted) {
        return Ok(volume);
    }
    if !owns(rows, owner) {
        rows.deny("volume", id);
    }
    Err(not_found(id))
}

pub(super) fn not_found(id: &str) -> Stop {
    TaskError::new("VolumeNotFound", format!("there is no volume `{id}`"))
        .with("volume_id", id)
        .into()
}

/// Returns whether the caller owns a row or is admin, and the row is not deleted, unless the caller reads deleted rows too.
pub(super) fn may_see(rows: &Rows<'_>, owner: Option<&str>, deleted: bool) -> bool {
    owns(rows, owner) && (rows.by().requester.read_deleted || !deleted)
}

/// Returns whether a row belongs to the caller's project or the caller is admin.
pub(super) fn owns(rows: &Rows<'_>, owner: Option<&str>) -> bool {
    let caller = rows.by().requester;
    caller.is_admin || owner == Some(&caller.project_id)
}

/// Refuses a volume with an encryption key of another project: a server that attaches the volume would open that key.
///
/// A source snapshot or volume may be of another project or not exist. One of another project is noted as denied, and the new volume
/// does not protect it from deletion: see [`dependent`].
fn check_origins(rows: &mut Rows<'_>, properties: &Object) -> Result<(), Stop> {
    fn owner<R: Row>(
        rows: &mut Rows<'_>,
        id: &str,
        of: impl Fn(&R) -> Option<Text>,
    ) -> Result<Option<Option<Text>>, Stop> {
        Ok(rows.get::<R>(id)?.map(|row| of(&row)))
    }
    let named = |column: &str| {
        let id = properties.get(column).and_then(Value::as_str);
        id.filter(|id| !id.is_empty())
    };
    for (column, kind) in [
        ("snapshot_id", "snapshot"),
        ("source_volid", "volume"),
        ("encryption_key_id", "key"),
    ] {
        let Some(id) = named(column) else { continue };
        let owner = match kind {
            "snapshot" => owner::<Snapshot>(rows, id, |row| row.project_id.clone())?,
            "volume" => owner::<Volume>(rows, id, |row| row.project_id.clone())?,
            _ => owner::<VolumeKey>(rows, id, |row| Some(Arc::clone(&row.project_id)))?,
        };
        let own = owner
            .as_ref()
            .is_some_and(|owner| owns(rows, owner.as_deref()));
        if !own && owner.is_some() {
            rows.deny(kind, id);
        }
        if !own && kind == "key" {
            return Err(super::keys::not_found(id));
        }
    }
    Ok(())
}

/// Returns a snapshot or copy that depends on a volume, so that the volume must not be deleted: its noun and id. Rows of other projects
/// do not count.
pub(super) fn dependent(
    rows: &mut Rows<'_>,
    volume: &Volume,
) -> Result<Option<(&'static str, Text)>, Stop> {
    let project = &volume.project_id;
    let parameters = vec![
        Cell::Text(Arc::clone(&volume.id)),
        project.clone().map_or(Cell::Null, Cell::Text),
    ];
    let snapshots = rows.select(&scans::OWN_SNAPSHOTS, parameters.clone())?;
    if let Some(first) = snapshots.iter().map(|row| &row.id).min() {
        return Ok(Some(("snapshot", Arc::clone(first))));
    }
    let volumes = rows.select(&scans::OWN_COPIES, parameters)?;
    let first = volumes.iter().map(|row| &row.id).min();
    Ok(first.map(|first| ("volume", Arc::clone(first))))
}

pub(super) fn create(rows: &mut Rows<'_>, create: &VolumeCreate) -> Result<Arc<Volume>, Stop> {
    let properties = &create.properties;
    let text = |column: &str| -> Result<Option<Text>, Stop> {
        match properties.get(column) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str().into())),
            Some(other) => Err(wrong_type(column, "text", other)),
        }
    };
    let size = match properties.get("size") {
        None | Some(Value::Null) => None,
        Some(size) => Some(
            size.as_i64()
                .ok_or_else(|| wrong_type("size", "a whole number of GiB", size))?,
        ),
    };
    let metadata = match properties.get("metadata") {
        None | Some(Value::Null) => Json::default(),
        Some(metadata @ Value::Object(_)) => Json(metadata.to_string().into()),
        Some(other) => return Err(wrong_type("metadata", "an object", other)),
    };
    let by = rows.by();
    // An operator may register a volume whose sources are elsewhere.
    if by.call.is_some() {
        check_origins(rows, properties)?;
    }
    let volume = Volume {
        id: rows.new_id(),
        project_id: Some(by.requester.project_id.as_str().into()),
        user_id: Some(by.requester.user_id.as_str().into()),
        size,
        status: text("status")?.unwrap_or_else(|| "creating".into()),
        attach_status: text("attach_status")?,
        availability_zone: text("availability_zone")?,
        display_name: text("display_name")?,
        display_description: text("display_description")?,
        volume_type_id: text("volume_type_id")?,
        snapshot_id: text("snapshot_id")?,
        source_volid: text("source_volid")?,
        encryption_key_id: text("encryption_key_id")?,
        metadata,
        version: 1,
        flow: by.call.map(|call| call.flow),
        created_at: rows.now(),
        ..Volume::default()
    };
    let volume = rows.insert(volume);
    note(
        rows,
        &volume.id,
        None,
        Some(plain(&volume, &["status", "version"])),
    );
    Ok(volume)
}

fn update(rows: &mut Rows<'_>, update: &VolumeUpdate) -> Result<Value, Stop> {
    let mut wanted = Object::new();
    for (column, value) in &update.changes {
        let value = match (column.as_str(), value) {
            ("status", Value::String(_))
            | ("host" | "scheduled_at", Value::Null)
            | ("host", Value::String(_)) => value.clone(),
            ("scheduled_at", Value::String(when)) if when == "now" => Value::from(rows.now().0),
            ("status" | "host", other) => return Err(wrong_type(column, "text", other)),
            ("scheduled_at", other) => return Err(wrong_type(column, "`now` or null", other)),
            (other, _) => {
                let message = format!(
                    "a volume's `{other}` cannot be changed: only status, host and scheduled_at can"
                );
                return Err(TaskError::new("InvalidInput", message).into());
            }
        };
        wanted.insert(column.clone(), value);
    }
    let found = visible(rows, &update.id)?;
    // An admin sees volumes of other projects, but a flow changes only those of its own project.
    let foreign = found.project_id.as_deref() != Some(&rows.by().requester.project_id);
    if foreign && rows.by().call.is_some() {
        rows.deny("volume", update.id.as_str());
        return Err(not_found(&update.id));
    }
    let changed = write(rows, &found, wanted)?;
    Ok(shown(&changed))
}

fn destroy(rows: &mut Rows<'_>, destroy: &VolumeDestroy) -> Result<(), Stop> {
    let Some(volume) = rows.get::<Volume>(destroy.id.as_str())? else {
        return Err(not_found(&destroy.id));
    };
    if let Some(call) = rows.by().call
        && volume.flow != Some(call.flow)
    {
        rows.deny("volume", destroy.id.as_str());
        return Err(not_found(&destroy.id));
    }
    if volume.deleted {
        // This flow now relies on the deletion. If another flow deleted the volume, rewriting the column makes that flow's undo fail its
        // compare-and-set. A journal entry without a write would go wrong if this flow undid a deletion of its own.
        write(rows, &volume, object([("deleted", true.into())]))?;
        return Ok(());
    }
    if let Some((noun, other)) = dependent(rows, &volume)? {
        let message = format!("{noun} `{other}` depends on volume `{}`", destroy.id);
        return Err(TaskError::new("VolumeInUse", message)
            .with("volume_id", destroy.id.as_str())
            .into());
    }
    let gone = [
        ("status", Value::from("deleted")),
        ("deleted", true.into()),
        ("deleted_at", rows.now().0.into()),
    ];
    write(rows, &volume, object(gone))?;
    Ok(())
}

/// Notes that an operator deleted a volume of this flow.
pub(super) fn note_deleted(rows: &mut Rows<'_>, id: &Text) {
    let deleted = |deleted: bool| Some(object([("deleted", deleted.into())]));
    rows.note(Change::Elsewhere(Box::new(Change::Row {
        table: Volume::TABLE.name.into(),
        id: Text::clone(id).into(),
        before: deleted(false),
        after: deleted(true),
    })));
}

/// Writes columns of a volume and notes the change, even if the columns already hold these values: another flow that wrote them must not
/// undo values that this flow, or an operator, relies on.
fn write(
    rows: &mut Rows<'_>,
    volume: &Arc<Volume>,
    mut wanted: Object,
) -> Result<Arc<Volume>, Stop> {
    let columns: Vec<&str> = wanted.keys().map(String::as_str).collect();
    let mut before = plain(volume, &columns);
    if wanted.is_empty() {
        return Ok(Arc::clone(volume));
    }
    before.insert("version".to_owned(), volume.version.into());
    wanted.insert("version".to_owned(), (volume.version + 1).into());
    let mut changed = Volume::clone(volume);
    let any: &mut dyn AnyRow = &mut changed;
    any.set_plain(&wanted)
        .map_err(|column| wrong_type(&column, "another value", &wanted[column.as_str()]))?;
    changed.updated_at = Some(rows.now());
    let changed = rows.update(volume, changed);
    note(rows, &volume.id, Some(before), Some(wanted));
    Ok(changed)
}

/// Notes that a volume changed.
pub(super) fn note(rows: &mut Rows<'_>, id: &Text, before: Option<Object>, after: Option<Object>) {
    rows.note(Change::Row {
        table: Volume::TABLE.name.into(),
        id: Text::clone(id).into(),
        before,
        after,
    });
}

fn plain(volume: &Volume, columns: &[&str]) -> Object {
    let volume: &dyn AnyRow = volume;
    volume.plain(columns)
}

fn shown(volume: &Volume) -> Value {
    let volume: &dyn AnyRow = volume;
    Value::Object(volume.shown(VOLUME))
}

/// Refuses to restore `booked` of a volume that was deleted since, and to undo the creation of a volume that something depends on.
pub(super) fn undo(rows: &mut Rows<'_>, inverse: &Inverse<'_>) -> Result<Undo, Stop> {
    if inverse.compare()? == Undo::Nothing {
        return Ok(Undo::Nothing);
    }
    let volume = inverse.found.as_ref().and_then(typed::<Volume>);
    let Some(restores) = inverse.restores else {
        if let Some(volume) = volume
            && let Some((noun, other)) = dependent(rows, &volume)?
        {
            let message = format!("{noun} `{other}` depends on volume `{}`", volume.id);
            return Err(TaskError::host(HostErrorKind::UndoRefused, message).into());
        }
        return Ok(Undo::Apply);
    };
    let books = restores.get("booked") == Some(&true.into());
    if books && volume.is_none_or(|volume| volume.deleted) {
        return Err(inverse.refused("was deleted since"));
    }
    Ok(Undo::Apply)
}

/// Makes an object of columns and values.
pub(super) fn object<const N: usize>(columns: [(&str, Value); N]) -> Object {
    columns
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn wrong_type(column: &str, expected: &str, found: &Value) -> Stop {
    let message = format!("a volume's `{column}` must be {expected}, not `{found}`");
    TaskError::new("InvalidInput", message)
        .with("column", column)
        .into()
}
