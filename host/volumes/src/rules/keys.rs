//! Effects on the key store. Tasks receive ids of keys, never the keys.

use cairn_model::error::TaskError;
use cairn_model::value::{Object, Value};

use serde_json::json;

use super::scans;
use super::tables::VolumeKey;
use cairn_effects::effect::Change;
use cairn_effects::keyring::{Keyring, KeyringError, MasterKey, Sealed, Secret};
use cairn_effects::rows::{AnyRow, Bytes, Row as _, Rows, Stop, Text};
use cairn_effects::rules::Effect;

/// Creates a random 256-bit key for the caller's project.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyCreate;

/// Creates a key with the bits of `id`.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyCopy {
    /// A key of the caller's project.
    pub id: String,
}

/// Removes a key that this flow created.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyDelete {
    /// The key.
    pub id: String,
}

impl Effect for KeyCreate {
    const NAME: &'static str = "key_create";
    const FUNCTION: &'static str = "keys.create";
    /// Id of the new key.
    type Answer = String;

    fn arguments(&self) -> Value {
        json!({})
    }

    fn apply(&self, rows: &mut Rows<'_>) -> Result<String, Stop> {
        create(rows)
    }

    fn new_ids(id: &String) -> Vec<String> {
        vec![id.clone()]
    }
}

impl Effect for KeyCopy {
    const NAME: &'static str = "key_copy";
    const FUNCTION: &'static str = "keys.copy";
    /// Id of the new key.
    type Answer = String;

    fn arguments(&self) -> Value {
        json!({"id": self.id})
    }

    fn apply(&self, rows: &mut Rows<'_>) -> Result<String, Stop> {
        copy(rows, self)
    }

    fn new_ids(id: &String) -> Vec<String> {
        vec![id.clone()]
    }
}

impl Effect for KeyDelete {
    const NAME: &'static str = "key_delete";
    const FUNCTION: &'static str = "keys.delete";
    type Answer = ();

    fn arguments(&self) -> Value {
        json!({"id": self.id})
    }

    fn apply(&self, rows: &mut Rows<'_>) -> Result<(), Stop> {
        delete(rows, self)
    }
}

/// Reads a sealed key: see [`Keyring::sealed_keys`].
pub(crate) const A_SEALED_KEY: &str = "SELECT id, sealed FROM keys ORDER BY id LIMIT 1";

fn create(rows: &mut Rows<'_>) -> Result<String, Stop> {
    let master = master_key(rows)?;
    let id = rows.new_id();
    let secret = Secret::generate().map_err(unusable)?;
    let sealed = master.seal(&id, secret.expose()).map_err(unusable)?;
    Ok(insert(rows, id, &sealed))
}

fn copy(rows: &mut Rows<'_>, copy: &KeyCopy) -> Result<String, Stop> {
    let Some(key) = rows.get::<VolumeKey>(copy.id.as_str())? else {
        return Err(not_found(&copy.id));
    };
    let caller = rows.by().requester;
    if *key.project_id != *caller.project_id && !caller.is_admin {
        rows.deny("key", copy.id.as_str());
        return Err(not_found(&copy.id));
    }
    let master = master_key(rows)?;
    let secret = master
        .open(&copy.id, &Sealed(key.sealed.0.to_vec()))
        .map_err(unusable)?;
    let id = rows.new_id();
    let sealed = master.seal(&id, secret.expose()).map_err(unusable)?;
    Ok(insert(rows, id, &sealed))
}

fn delete(rows: &mut Rows<'_>, delete: &KeyDelete) -> Result<(), Stop> {
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
    // The before-image holds the key sealed, as the table does.
    rows.note(Change::Row {
        table: VolumeKey::TABLE.name.into(),
        id: delete.id.as_str().into(),
        before: Some(key.plain(&["project_id", "sealed", "flow", "created_at"])),
        after: None,
    });
    Ok(())
}

fn insert(rows: &mut Rows<'_>, id: Text, sealed: &Sealed) -> String {
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
        table: VolumeKey::TABLE.name.into(),
        id: Text::clone(&key.id).into(),
        before: None,
        after: Some(Object::from_iter([(
            "project_id".to_owned(),
            Value::from(&*key.project_id),
        )])),
    });
    key.id.to_string()
}

fn master_key<'a>(rows: &mut Rows<'a>) -> Result<&'a MasterKey, Stop> {
    let Some(keyring) = rows.services().get::<Keyring>() else {
        return Err(unusable("block storage was not set up on this host"));
    };
    // A new master key could not open existing keys.
    let exists = !keyring.is_loaded() && has_keys(rows)?;
    keyring.get(exists).map_err(|error| match error {
        KeyringError::NotConfigured => {
            TaskError::new("KeysNotConfigured", error.to_string()).into()
        }
        error => unusable(error),
    })
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
