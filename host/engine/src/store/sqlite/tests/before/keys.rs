//! Effects on the key store: what leaves it is an id, never the key.

use rusqlite::params;

use super::effects::object;
use super::tx::{Fault, Tx, scalar};
use crate::effect::{Answer, KeyCopy, KeyDelete, Table};
use crate::error::TaskError;
use crate::keyring::{MasterKey, Sealed, Secret};
use crate::store::sqlite::row::to_hex;

pub(in crate::store::sqlite) fn create(tx: &mut Tx<'_>) -> Result<Answer, Fault> {
    let master = master_key(tx)?;
    let id = new_id();
    let secret = Secret::generate().map_err(unusable)?;
    let sealed = master.seal(&id, secret.expose()).map_err(unusable)?;
    insert(tx, id, &sealed)
}

pub(in crate::store::sqlite) fn copy(tx: &mut Tx<'_>, copy: &KeyCopy) -> Result<Answer, Fault> {
    let row = {
        let mut statement = tx
            .connection
            .prepare_cached("SELECT sealed, project_id FROM keys WHERE id = ?")?;
        let mut rows = statement.query([&copy.id])?;
        match rows.next()? {
            Some(row) => Some((row.get::<_, Vec<u8>>(0)?, row.get::<_, String>(1)?)),
            None => None,
        }
    };
    let sealed = match row {
        None => return Err(not_found(&copy.id)),
        Some((_, project))
            if project != tx.by.requester.project_id && !tx.by.requester.is_admin =>
        {
            tx.denied.push(("key", copy.id.clone()));
            return Err(not_found(&copy.id));
        }
        Some((sealed, _)) => Sealed(sealed),
    };
    let master = master_key(tx)?;
    let secret = master.open(&copy.id, &sealed).map_err(unusable)?;
    let id = new_id();
    let sealed = master.seal(&id, secret.expose()).map_err(unusable)?;
    insert(tx, id, &sealed)
}

pub(in crate::store::sqlite) fn delete(
    tx: &mut Tx<'_>,
    delete: &KeyDelete,
) -> Result<Answer, Fault> {
    let row = {
        let mut statement = tx
            .connection
            .prepare_cached("SELECT project_id, sealed, flow, created_at FROM keys WHERE id = ?")?;
        let mut rows = statement.query([&delete.id])?;
        match rows.next()? {
            Some(row) => Some((
                row.get::<_, String>(0)?,
                row.get::<_, Vec<u8>>(1)?,
                row.get::<_, Option<[u8; 16]>>(2)?,
                row.get::<_, i64>(3)?,
            )),
            None => None,
        }
    };
    let Some((project, sealed, flow, created_at)) = row else {
        return Err(not_found(&delete.id));
    };
    if tx.by.call.is_some() && flow != tx.flow() {
        tx.denied.push(("key", delete.id.clone()));
        return Err(not_found(&delete.id));
    }
    tx.connection
        .prepare_cached("DELETE FROM keys WHERE id = ?")?
        .execute([&delete.id])?;
    // The before-image holds the key as the table did: sealed.
    let before = object([
        ("project_id", project.into()),
        ("sealed", to_hex(&sealed).into()),
        ("flow", flow.map(|flow| to_hex(&flow)).into()),
        ("created_at", created_at.into()),
    ]);
    tx.changed(Table::Keys, &delete.id, Some(before), None);
    Ok(Answer::Done)
}

fn insert(tx: &mut Tx<'_>, id: String, sealed: &Sealed) -> Result<Answer, Fault> {
    let project = tx.by.requester.project_id.clone();
    tx.connection
        .prepare_cached(
            "INSERT INTO keys (id, project_id, sealed, flow, created_at) VALUES (?, ?, ?, ?, ?)",
        )?
        .execute(params![id, project, sealed.0, tx.flow(), tx.now.0])?;
    tx.changed(
        Table::Keys,
        &id,
        None,
        Some(object([("project_id", project.into())])),
    );
    Ok(Answer::Key(id))
}

fn new_id() -> String {
    crate::id::uuid().to_string()
}

fn master_key<'a>(tx: &Tx<'a>) -> Result<&'a MasterKey, Fault> {
    let env = tx.env;
    if let Some(master) = env.master_key.get() {
        return Ok(master);
    }
    let master = match &env.config.master_key {
        // A new master key would never open the keys that are there.
        Some(path) if has_keys(tx)? => MasterKey::load(path).map_err(unusable)?,
        Some(path) => MasterKey::load_or_create(path).map_err(unusable)?,
        None => MasterKey::generate().map_err(unusable)?,
    };
    Ok(env.master_key.get_or_init(|| master))
}

fn has_keys(tx: &Tx<'_>) -> Result<bool, Fault> {
    let found: Option<i64> = scalar(tx.connection, "SELECT 1 FROM keys LIMIT 1", [])?;
    Ok(found.is_some())
}

fn unusable(error: impl std::fmt::Display) -> Fault {
    TaskError::new("KeyStoreUnavailable", error.to_string()).into()
}

pub(in crate::store::sqlite) fn not_found(id: &str) -> Fault {
    TaskError::new("KeyNotFound", format!("there is no key `{id}`"))
        .with("key_id", id)
        .into()
}
