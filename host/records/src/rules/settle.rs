//! Settles the keys that a flow holds, when an effect is undone and when the flow ends.

use std::sync::Arc;

use super::place::Place;
use super::record::flow;
use super::sight::Sight;
use super::tables::{Record, Release};
use super::usage::{blank, write};
use cairn_effects::event::FlowState;
use cairn_effects::rows::{End, Inverse, Rows, Stop, Text, Undo, typed};
use cairn_model::id::FlowId;

/// Undoes a change of a record. While the flow holds the key, restores its earlier pending value, or releases the key when the flow did not
/// hold it before. After publication, restores the published value by compare-and-set.
pub(super) fn undo(rows: &mut Rows<'_>, inverse: &Inverse<'_>) -> Result<Undo, Stop> {
    let place = Place::of(&inverse.id.key);
    let row = inverse.found.as_ref().and_then(typed::<Record>);
    let wrote = Sight::read(inverse.wrote);
    let restores = Sight::read(inverse.restores);
    let own = flow(rows);
    if let Some(held) = row.as_ref().filter(|row| own.is_some() && row.flow == own) {
        if held.pending_version != wrote.version {
            return Err(changed(inverse, &held.held(), &wrote));
        }
        let new = match restores.is_published_as(&held.published()) && !was_held(&restores) {
            true => held.let_go(),
            false => {
                let mut new = Record::clone(held);
                new.set_held(&restores);
                Some(new)
            }
        };
        write(rows, &place, Some(held), new)?;
        return Ok(Undo::Done);
    }
    if let Some(own) = own
        && is_released(rows, &place, own, wrote.version)?
    {
        return Ok(Undo::Nothing);
    }
    if let Some(holder) = row.as_ref().and_then(|row| row.flow) {
        return Err(inverse.refused(format_args!(
            "is held by flow {holder}, which has not ended"
        )));
    }
    let published = row.as_ref().map(|row| row.published());
    let published = published.unwrap_or_default();
    if !published.is_published_as(&wrote) {
        return Err(changed(inverse, &published, &wrote));
    }
    let new = restores.value.is_some().then(|| {
        let mut new = row.as_deref().cloned().unwrap_or_else(|| blank(&place));
        new.set_published(&restores);
        new.updated_at = Some(rows.now());
        new
    });
    write(rows, &place, row.as_ref(), new)?;
    Ok(Undo::Done)
}

/// Returns whether the flow already held the key when it saw this: only a pending value names a task.
fn was_held(sight: &Sight) -> bool {
    sight.task.is_some()
}

fn changed(inverse: &Inverse<'_>, found: &Sight, wrote: &Sight) -> Stop {
    inverse.refused(format_args!(
        "was changed since: it is {}, and this flow left it {}",
        found.told(),
        wrote.told()
    ))
}

/// Publishes the pending changes of a flow that succeeded, or those that a failed flow kept. Changes of tasks that could not be reverted
/// stay pending, and the flow still holds their keys.
pub(super) fn settle(rows: &mut Rows<'_>, end: End<'_>) -> Result<(), Stop> {
    let own = flow(rows);
    for record in rows.of_flow::<Record>()? {
        if own.is_none() || record.flow != own || is_unreverted(record.task.as_ref(), end) {
            continue;
        }
        let published = record.publish(rows.now());
        write(rows, &place_of(&record), Some(&record), published)?;
    }
    Ok(())
}

/// Returns whether the task with this id could not be reverted when its flow failed.
pub(super) fn is_unreverted(task: Option<&Text>, end: End<'_>) -> bool {
    end.state != FlowState::Success
        && task.is_some_and(|task| end.unreverted.iter().any(|one| *one.to_string() == **task))
}

/// Returns the id of the row that notes the release of a flow's key.
pub(super) fn release_id(place: &Place, flow: FlowId) -> Text {
    let Place {
        project,
        collection,
        key,
    } = place;
    format!("{flow}/{project}/{collection}/{key}").into()
}

/// Returns whether an operator's release discarded the flow's change with this version.
fn is_released(
    rows: &mut Rows<'_>,
    place: &Place,
    flow: FlowId,
    version: i64,
) -> Result<bool, Stop> {
    let release = rows.get::<Release>(release_id(place, flow))?;
    Ok(release.is_some_and(|release| version <= release.version))
}

pub(super) fn place_of(record: &Arc<Record>) -> Place {
    Place {
        project: Text::clone(&record.project_id),
        collection: Text::clone(&record.collection),
        key: Text::clone(&record.key),
    }
}
