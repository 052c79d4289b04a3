//! Releases keys for operators.

use cairn_model::error::TaskError;
use cairn_model::id::FlowId;

use super::place::Place;
use super::settle::release_id;
use super::tables::{Record, Release};
use super::usage::write;
use cairn_effects::rows::{Rows, Stop, Text};

/// Releases a key that is held by a flow that cannot continue: discards the flow's pending change, and keeps the published value. A
/// rollback of the flow treats the change as undone.
///
/// # Errors
/// `NotHeld` when that flow does not hold the key, naming the flow that does; [`Stop::Missing`].
pub fn release(
    rows: &mut Rows<'_>,
    collection: &str,
    key: &str,
    flow: FlowId,
    reason: &str,
) -> Result<(), Stop> {
    let place = Place::own(rows, collection, key)?;
    let found = rows.get::<Record>(place.row_key())?;
    let Some(held) = found.as_ref().filter(|row| row.flow == Some(flow)) else {
        return Err(not_held(&place, flow, found.and_then(|row| row.flow)).into());
    };
    let release = Release {
        id: release_id(&place, flow),
        project_id: Text::clone(&place.project),
        flow: Some(flow),
        version: held.pending_version,
        user_id: rows.by().requester.user_id.as_str().into(),
        reason: reason.into(),
        created_at: rows.now(),
    };
    match rows.get::<Release>(Text::clone(&release.id))? {
        Some(old) => drop(rows.update(&old, release)),
        None => drop(rows.insert(release)),
    }
    write(rows, &place, Some(held), held.let_go())
}

fn not_held(place: &Place, flow: FlowId, holder: Option<FlowId>) -> TaskError {
    let Place {
        collection, key, ..
    } = place;
    let holds = match holder {
        Some(holder) => format!("flow {holder} does"),
        None => "no flow does".to_owned(),
    };
    let message =
        format!("flow {flow} does not hold `{key}` of the collection `{collection}`: {holds}");
    place.error("NotHeld", message)
}
