//! Effects on the key store: what leaves it is an id, never the key.

use cairn_model::error::TaskError;
use cairn_model::value::{Object, Value};

use super::tables::VolumeKey;
use super::{Setup, scans};
use crate::effect::{Answer, Change, KeyCopy, KeyDelete, Table};
use crate::keyring::{MasterKey, Sealed, Secret};
use crate::rows::{AnyRow, Bytes, Rows, Stop, Text};

pub(super) fn create(rows: &mut Rows<'_>, setup: &Setup<'_>) -> Result<Answer, Stop> {
    let master = master_key(rows, setup)?;
    let id = rows.new_id();
    let secret = Secret::generate().map_err(unusable)?;
    let sealed = master.seal(&id, secret.expose()).map_err(unusable)?;
    Ok(insert(rows, id, &sealed))
}

pub(super) fn copy(rows: &mut Rows<'_>, setup: &Setup<'_>, copy: &KeyCopy) -> Result<Answer, Stop> {
    let Some(key) = rows.get::<VolumeKey>(copy.id.as_str())? else {
        return Err(not_found(&copy.id));
    };
    let caller = rows.by().requester;
    if *key.project_id != *caller.project_id && !caller.is_admin {
        rows.deny("key", copy.id.as_str());
        return Err(not_found(&copy.id));
    }
    let master = master_key(rows, setup)?;
    let secret = master
        .open(&copy.id, &Sealed(key.sealed.0.to_vec()))
        .map_err(unusable)?;
    let id = rows.new_id();
    let sealed = master.seal(&id, secret.expose()).map_err(unusable)?;
    Ok(insert(rows, id, &sealed))
}

pub(super) fn delete(rows: &mut Rows<'_>, delete: &KeyDelete) -> Result<Answer, Stop> {
    let Some(key) = rows.get::<VolumeKey>(delete.id.as_str())? else {
        return Err(not_found(&delete.id));
    };
    if let Some(call) = rows.by().call
        && key.flow != Some(call.flow)
    {
        rows.deny("key", delete.id.as_str());
        return Err(not_found(&delete.id));
    }
    rows.remove(&key);
    let key: &dyn AnyRow = &*key;
    // The before-image holds the key as the table did: sealed.
    rows.note(Change::Row {
        table: Table::Keys,
        id: delete.id.clone(),
        before: Some(key.plain(&["project_id", "sealed", "flow", "created_at"])),
        after: None,
    });
    Ok(Answer::Done)
}

fn insert(rows: &mut Rows<'_>, id: Text, sealed: &Sealed) -> Answer {
    let by = rows.by();
    let key = VolumeKey {
        id,
        project_id: by.requester.project_id.as_str().into(),
        sealed: Bytes(sealed.0.as_slice().into()),
        flow: by.call.map(|call| call.flow),
        created_at: rows.now(),
    };
    let key = rows.insert(key);
    rows.note(Change::Row {
        table: Table::Keys,
        id: key.id.to_string(),
        before: None,
        after: Some(Object::from_iter([(
            "project_id".to_owned(),
            Value::from(&*key.project_id),
        )])),
    });
    Answer::Key(key.id.to_string())
}

fn master_key<'a>(rows: &mut Rows<'_>, setup: &Setup<'a>) -> Result<&'a MasterKey, Stop> {
    if let Some(master) = setup.master_key.get() {
        return Ok(master);
    }
    let master = match setup.master_key_file {
        // A new master key would never open the keys that are there.
        Some(path) if has_keys(rows)? => MasterKey::load(path).map_err(unusable)?,
        Some(path) => MasterKey::load_or_create(path).map_err(unusable)?,
        None => MasterKey::generate().map_err(unusable)?,
    };
    Ok(setup.master_key.get_or_init(|| master))
}

fn has_keys(rows: &mut Rows<'_>) -> Result<bool, Stop> {
    let keys = rows.count(&scans::KEYS, Vec::new())?;
    Ok(keys.values().any(|number| *number > 0))
}

fn unusable(error: impl std::fmt::Display) -> Stop {
    TaskError::new("KeyStoreUnavailable", error.to_string()).into()
}

pub(super) fn not_found(id: &str) -> Stop {
    TaskError::new("KeyNotFound", format!("there is no key `{id}`"))
        .with("key_id", id)
        .into()
}
