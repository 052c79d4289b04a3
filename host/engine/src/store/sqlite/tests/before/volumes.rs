//! Effects on volumes.

use std::sync::LazyLock;

use rusqlite::params;

use super::effects::object;
use super::tx::{Fault, Tx, scalar};
use crate::effect::{Answer, Change, Table, VolumeCreate, VolumeDestroy, VolumeUpdate};
use crate::error::TaskError;
use crate::store::sqlite::row::{self, VOLUME};
use crate::value::{Object, Value};

static SELECT: LazyLock<String> = LazyLock::new(|| row::select(VOLUME, "volumes", "WHERE id = ?"));

static INSERT: LazyLock<String> = LazyLock::new(|| {
    let columns = "id, project_id, user_id, size, status, attach_status, availability_zone, display_name, display_description,
         volume_type_id, snapshot_id, source_volid, encryption_key_id, metadata, flow, created_at";
    let marks = "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?";
    let returning = row::names(VOLUME);
    format!("INSERT INTO volumes ({columns}) VALUES ({marks}) RETURNING {returning}")
});

/// The whole volume, deleted or not, whoever owns it.
pub(in crate::store::sqlite) fn find(tx: &Tx<'_>, id: &str) -> Result<Option<Object>, Fault> {
    Ok(row::first(tx.connection, VOLUME, &SELECT, [id])?)
}

/// A volume that the caller may see.
pub(in crate::store::sqlite) fn visible(tx: &mut Tx<'_>, id: &str) -> Result<Object, Fault> {
    match find(tx, id)? {
        Some(volume) if tx.may_see(&volume) => Ok(volume),
        Some(volume) => {
            tx.deny("volume", id, &volume);
            Err(not_found(id))
        }
        None => Err(not_found(id)),
    }
}

fn not_found(id: &str) -> Fault {
    TaskError::new("VolumeNotFound", format!("there is no volume `{id}`"))
        .with("volume_id", id)
        .into()
}

impl Tx<'_> {
    /// Whether a row is the caller's project's, or the caller an admin; and is not deleted, unless those are read too.
    pub(in crate::store::sqlite) fn may_see(&self, row: &Object) -> bool {
        let caller = self.by.requester;
        self.owns(row) && (caller.read_deleted || row.get("deleted") != Some(&Value::from(true)))
    }

    /// Whether a row is the caller's project's, or the caller an admin.
    fn owns(&self, row: &Object) -> bool {
        let caller = self.by.requester;
        caller.is_admin || row.get("project_id").and_then(Value::as_str) == Some(&caller.project_id)
    }

    /// Notes that the caller named a row that it may not see, unless it is its own and only deleted.
    pub(in crate::store::sqlite) fn deny(&mut self, kind: &'static str, id: &str, row: &Object) {
        if !self.owns(row) {
            self.denied.push((kind, id.to_owned()));
        }
    }
}

/// Whether a volume's key is its caller's to name: whoever attaches the volume would open it.
///
/// What else a volume is made from may be named as it comes, whether it is there or not; another project's is noted, and
/// stands in nobody's way: see [`dependent`].
fn check_origins(tx: &mut Tx<'_>, create: &VolumeCreate) -> Result<(), Fault> {
    let origins = [
        (
            "snapshot_id",
            "snapshot",
            "SELECT project_id FROM snapshots WHERE id = ?",
        ),
        (
            "source_volid",
            "volume",
            "SELECT project_id FROM volumes WHERE id = ?",
        ),
        (
            "encryption_key_id",
            "key",
            "SELECT project_id FROM keys WHERE id = ?",
        ),
    ];
    for (column, kind, statement) in origins {
        let named = create.properties.get(column).and_then(Value::as_str);
        let Some(id) = named.filter(|id| !id.is_empty()) else {
            continue;
        };
        let owner: Option<Option<String>> = scalar(tx.connection, statement, [id])?;
        let caller = tx.by.requester;
        let own = owner.as_ref().is_some_and(|owner| {
            caller.is_admin || owner.as_deref() == Some(caller.project_id.as_str())
        });
        if !own && owner.is_some() {
            tx.denied.push((kind, id.to_owned()));
        }
        if !own && kind == "key" {
            return Err(super::keys::not_found(id));
        }
    }
    Ok(())
}

/// What depends on a volume, so that it must stay: what it is, and its id. What another project says of it does not count.
pub(in crate::store::sqlite) fn dependent(
    tx: &Tx<'_>,
    id: &str,
) -> rusqlite::Result<Option<(&'static str, String)>> {
    for (noun, statement) in [
        (
            "snapshot",
            "SELECT id FROM snapshots WHERE volume_id = ?1 AND deleted = 0
                 AND project_id IS (SELECT project_id FROM volumes WHERE id = ?1) LIMIT 1",
        ),
        (
            "volume",
            "SELECT id FROM volumes WHERE source_volid = ?1 AND deleted = 0
                 AND project_id IS (SELECT project_id FROM volumes WHERE id = ?1) LIMIT 1",
        ),
    ] {
        if let Some(other) = scalar::<String>(tx.connection, statement, [id])? {
            return Ok(Some((noun, other)));
        }
    }
    Ok(None)
}

pub(in crate::store::sqlite) fn create(
    tx: &mut Tx<'_>,
    create: &VolumeCreate,
) -> Result<Answer, Fault> {
    let properties = &create.properties;
    let text = |column: &str| -> Result<Option<&str>, Fault> {
        match properties.get(column) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
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
        None | Some(Value::Null) => "{}".to_owned(),
        Some(Value::Object(metadata)) => Value::Object(metadata.clone()).to_string(),
        Some(other) => return Err(wrong_type("metadata", "an object", other)),
    };
    // An operator may bring in a volume whose origins are elsewhere.
    if tx.by.call.is_some() {
        check_origins(tx, create)?;
    }
    let id = crate::id::uuid().to_string();
    let status = text("status")?.unwrap_or("creating");
    let caller = tx.by.requester;
    let inserted = row::first(
        tx.connection,
        VOLUME,
        &INSERT,
        params![
            id,
            caller.project_id,
            caller.user_id,
            size,
            status,
            text("attach_status")?,
            text("availability_zone")?,
            text("display_name")?,
            text("display_description")?,
            text("volume_type_id")?,
            text("snapshot_id")?,
            text("source_volid")?,
            text("encryption_key_id")?,
            metadata,
            tx.flow(),
            tx.now.0,
        ],
    )?;
    let after = object([("status", status.into()), ("version", 1.into())]);
    tx.changed(Table::Volumes, &id, None, Some(after));
    match inserted {
        Some(volume) => Ok(Answer::Volume(Value::Object(volume))),
        None => Err(rusqlite::Error::QueryReturnedNoRows.into()),
    }
}

pub(in crate::store::sqlite) fn update(
    tx: &mut Tx<'_>,
    update: &VolumeUpdate,
) -> Result<Answer, Fault> {
    let mut wanted = Object::new();
    for (column, value) in &update.changes {
        let value = match (column.as_str(), value) {
            ("status", Value::String(_))
            | ("host" | "scheduled_at", Value::Null)
            | ("host", Value::String(_)) => value.clone(),
            ("scheduled_at", Value::String(when)) if when == "now" => Value::from(tx.now.0),
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
    let found = visible(tx, &update.id)?;
    // An admin of another project sees the volume, but a flow changes its own project's only.
    let foreign =
        found.get("project_id").and_then(Value::as_str) != Some(&tx.by.requester.project_id);
    if foreign && tx.by.call.is_some() {
        tx.denied.push(("volume", update.id.clone()));
        return Err(not_found(&update.id));
    }
    write(tx, &update.id, wanted)?;
    whole(tx, &update.id)
}

pub(in crate::store::sqlite) fn destroy(
    tx: &mut Tx<'_>,
    destroy: &VolumeDestroy,
) -> Result<Answer, Fault> {
    let owner: Option<(Option<[u8; 16]>, bool)> = {
        let mut statement = tx
            .connection
            .prepare_cached("SELECT flow, deleted FROM volumes WHERE id = ?")?;
        let mut rows = statement.query([&destroy.id])?;
        match rows.next()? {
            Some(row) => Some((row.get(0)?, row.get(1)?)),
            None => None,
        }
    };
    match owner {
        None => Err(not_found(&destroy.id)),
        Some((flow, _)) if tx.by.call.is_some() && flow != tx.flow() => {
            tx.denied.push(("volume", destroy.id.clone()));
            Err(not_found(&destroy.id))
        }
        Some((_, true)) => {
            note_deleted(tx, &destroy.id);
            Ok(Answer::Done)
        }
        Some((_, false)) => {
            if let Some((noun, other)) = dependent(tx, &destroy.id)? {
                let message = format!("{noun} `{other}` depends on volume `{}`", destroy.id);
                return Err(TaskError::new("VolumeInUse", message)
                    .with("volume_id", destroy.id.as_str())
                    .into());
            }
            let gone = object([
                ("status", "deleted".into()),
                ("deleted", true.into()),
                ("deleted_at", tx.now.0.into()),
            ]);
            write(tx, &destroy.id, gone)?;
            Ok(Answer::Done)
        }
    }
}

/// Has the flow take note of a volume that is deleted already.
pub(in crate::store::sqlite) fn note_deleted(tx: &mut Tx<'_>, id: &str) {
    let deleted = |deleted: bool| Some(object([("deleted", deleted.into())]));
    tx.changes.push(Change::Elsewhere(Box::new(Change::Row {
        table: Table::Volumes,
        id: id.to_owned(),
        before: deleted(false),
        after: deleted(true),
    })));
}

/// Writes columns of a volume and notes the change; nothing where they hold these values already.
fn write(tx: &mut Tx<'_>, id: &str, mut wanted: Object) -> Result<(), Fault> {
    if wanted.is_empty() {
        return Ok(());
    }
    let columns: Vec<&str> = wanted.keys().map(String::as_str).collect();
    let statement = format!(
        "SELECT version, {} FROM volumes WHERE id = ?",
        columns.join(", ")
    );
    let mut before = Object::new();
    {
        let mut statement = tx.connection.prepare_cached(&statement)?;
        let mut rows = statement.query([id])?;
        let Some(row) = rows.next()? else {
            return Err(not_found(id));
        };
        for (index, column) in columns.iter().enumerate() {
            let value = row::plain(row.get_ref(index + 1)?);
            let value = if *column == "deleted" {
                Value::from(value == 1)
            } else {
                value
            };
            before.insert((*column).to_owned(), value);
        }
        if before == wanted {
            return Ok(());
        }
        let version: i64 = row.get(0)?;
        before.insert("version".to_owned(), version.into());
        wanted.insert("version".to_owned(), (version + 1).into());
    }
    super::changes::update(tx, Table::Volumes, id, &wanted)?;
    tx.changed(Table::Volumes, id, Some(before), Some(wanted));
    Ok(())
}

fn whole(tx: &Tx<'_>, id: &str) -> Result<Answer, Fault> {
    match find(tx, id)? {
        Some(volume) => Ok(Answer::Volume(Value::Object(volume))),
        None => Err(not_found(id)),
    }
}

fn wrong_type(column: &str, expected: &str, found: &Value) -> Fault {
    let message = format!("a volume's `{column}` must be {expected}, not `{found}`");
    TaskError::new("InvalidInput", message)
        .with("column", column)
        .into()
}
