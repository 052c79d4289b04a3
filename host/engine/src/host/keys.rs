//! Compares the master key with that of the database, at the start of a host.

use cairn_effects::keyring::{Fingerprint, Keyring, KeyringError};
use cairn_model::error::Diagnostic;
use cairn_model::id::Identity;
use cairn_store::{HostStore, StoreError};

use super::HostError;

/// Refuses a master key that is not the one of the database, and records its fingerprint in a database that has none. A host without a
/// master key passes.
///
/// # Errors
/// [`HostError::Invalid`] for a master key that cannot be loaded or is another one; [`HostError::Store`].
pub(super) fn check(store: &dyn HostStore) -> Result<(), HostError> {
    let domains = store.domains().clone();
    let Some(keyring) = domains.services().get::<Keyring>() else {
        return Ok(());
    };
    if store.operators().is_none() {
        return Ok(());
    }
    if let Some(recorded) = store.read(&Identity::default(), |view| view.key_fingerprint())? {
        keyring.record(recorded);
    }
    keyring.load().map_err(unusable)?;
    if let Some(own) = keyring.unrecorded() {
        try_on_a_key(store, keyring)?;
        keyring.record(record(store, own)?);
        keyring.load().map_err(unusable)?;
    }
    Ok(())
}

/// Tries the master key on a sealed key, if there is one: the database of an older version holds no fingerprint.
fn try_on_a_key(store: &dyn HostStore, keyring: &Keyring) -> Result<(), HostError> {
    let Some(statement) = keyring.sealed_key() else {
        return Ok(());
    };
    let sealed = store.read(&Identity::default(), |view| view.sealed_key(statement))?;
    let Some((id, sealed)) = sealed else {
        return Ok(());
    };
    let opened = keyring.get(true).and_then(|key| key.open(&id, &sealed));
    opened.map(drop).map_err(unusable)
}

fn record(store: &dyn HostStore, own: Fingerprint) -> Result<Fingerprint, StoreError> {
    store.admin(&Identity::default(), |admin| {
        admin.record_key_fingerprint(own)
    })
}

fn unusable(error: KeyringError) -> HostError {
    let diagnostic = Diagnostic::new(error.to_string());
    match error {
        KeyringError::Open(_) => diagnostic.help("put the master key back with which the database was used; [keys] in cairn.toml names it"),
        _ => diagnostic,
    }
    .into()
}
