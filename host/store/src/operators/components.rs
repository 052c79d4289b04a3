//! Stores and reads the components of plans, by digest.

use std::sync::Arc;

use cairn_effects::rows::Cell;
use cairn_model::file::MAX_COMPONENT;
use cairn_model::value::Digest;

use crate::StoreError;
use crate::host::Component;
use crate::sql::{Columns, Sql, SqlError};

/// Reads a component and verifies it; `None` if there is none of this digest.
///
/// # Errors
/// [`StoreError::DamagedComponent`], [`StoreError::Database`].
pub(crate) fn read(sql: &dyn Sql, digest: Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
    read_within(sql, digest, MAX_COMPONENT)
}

/// Reads a component of at most `most` bytes.
pub(crate) fn read_within(
    sql: &dyn Sql,
    digest: Digest,
    most: u64,
) -> Result<Option<Arc<[u8]>>, StoreError> {
    // A longer one is not read into memory.
    let statement = "SELECT length(body), CASE WHEN length(body) <= $2 THEN body END FROM components WHERE digest = $1";
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    let name = digest.to_string();
    let rows = sql.query(statement, &[name.as_str().into(), limit.into()])?;
    let Some(row) = rows.into_iter().next() else {
        return Ok(None);
    };
    let length = Columns(&row).int(0)?;
    let damaged = |reason| Err(StoreError::DamagedComponent { digest, reason });
    match row.into_iter().nth(1) {
        Some(Cell::Blob(bytes)) => match Digest::of(&bytes) {
            found if found == digest => Ok(Some(bytes)),
            found => damaged(format!("its {length} bytes have the digest {found}")),
        },
        _ => damaged(format!(
            "it has {length} bytes, and a component has at most {most}"
        )),
    }
}

/// Returns whether a component is stored and sound.
///
/// # Errors
/// [`StoreError::Database`].
pub(crate) fn is_sound(sql: &dyn Sql, digest: Digest) -> Result<bool, StoreError> {
    match read(sql, digest) {
        Ok(found) => Ok(found.is_some()),
        Err(StoreError::DamagedComponent { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes a component; replaces a damaged one.
///
/// # Errors
/// [`SqlError`].
pub(crate) fn write(sql: &dyn Sql, component: &Component<'_>) -> Result<(), SqlError> {
    let statement = "INSERT INTO components (digest, body) VALUES ($1, $2)
                     ON CONFLICT (digest) DO UPDATE SET body = excluded.body";
    let digest = component.digest.to_string();
    let body = Cell::Blob(component.bytes.into());
    sql.execute(statement, &[digest.as_str().into(), body])?;
    Ok(())
}

/// Verifies every component, and returns a problem for each damaged one. A database of an older schema has none.
///
/// # Errors
/// [`StoreError::Database`].
pub(crate) fn problems(sql: &dyn Sql) -> Result<Vec<String>, StoreError> {
    let mut problems = Vec::new();
    if sql.columns("components")?.is_empty() {
        return Ok(problems);
    }
    for row in sql.query("SELECT digest FROM components ORDER BY digest", &[])? {
        let name = Columns(&row).text(0)?;
        let found = match name.parse() {
            Ok(digest) => read(sql, digest).map(drop),
            Err(error) => {
                problems.push(format!("the name of a component is wrong: {error}"));
                continue;
            }
        };
        match found {
            Err(error @ StoreError::DamagedComponent { .. }) => problems.push(error.to_string()),
            found => found?,
        }
    }
    Ok(problems)
}
