use super::{Setup, cast, keys, reservation, volume};
use cairn_effects::effect::{Answer, Effect};
use cairn_effects::rows::{Rows, Stop};

/// Applies an effect whole, or not at all, and notes its changes.
///
/// # Errors
/// [`Stop::Refused`] with the kinds that `wit/` names; [`Stop::Missing`].
pub fn apply(rows: &mut Rows<'_>, setup: &Setup<'_>, effect: &Effect) -> Result<Answer, Stop> {
    match effect {
        Effect::QuotaReserve(reserve) => reservation::reserve(rows, setup, reserve),
        Effect::QuotaCommit(commit) => reservation::commit(rows, commit),
        Effect::QuotaRollback(rollback) => reservation::rollback(rows, rollback),
        Effect::VolumeCreate(create) => volume::create(rows, create),
        Effect::VolumeUpdate(update) => volume::update(rows, update),
        Effect::VolumeDestroy(destroy) => volume::destroy(rows, destroy),
        Effect::KeyCreate(_) => keys::create(rows, setup),
        Effect::KeyCopy(copy) => keys::copy(rows, setup, copy),
        Effect::KeyDelete(delete) => keys::delete(rows, delete),
        Effect::Cast(message) => Ok(cast::cast(rows, message)),
    }
}
