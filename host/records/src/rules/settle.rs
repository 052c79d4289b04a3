//! What becomes of the keys that a flow holds: when an effect is undone, and when the flow ends.

use std::sync::Arc;

use super::place::Place;
use super::record::flow;
use super::sight::Sight;
use super::tables::{Record, Release};
use super::usage::{blank, write};
use cairn_effects::event::FlowState;
use cairn_effects::rows::{End, Inverse, Rows, Stop, Text, Undo, typed};
use cairn_model::id::FlowId;

/// Takes a change of a record back. While the flow holds the key, what it saw before becomes what it has pending again, and the key is let
/// go when that is what is published. Once it was published, what is published is compared and set.
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

/// Tells whether a flow held the key already when it saw this: only what is pending names a task.
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

/// Publishes what a flow has done when it succeeds; when it fails, what was kept of it. What tasks did that could not be reverted
/// stays pending, and their keys are held on.
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

/// Tells whether a task, by its id, could not be reverted when its flow failed.
pub(super) fn is_unreverted(task: Option<&Text>, end: End<'_>) -> bool {
    end.state != FlowState::Success
        && task.is_some_and(|task| end.unreverted.iter().any(|one| *one.to_string() == **task))
}

/// Names the note that an operator took a key from a flow.
pub(super) fn release_id(place: &Place, flow: FlowId) -> Text {
    let Place {
        project,
        collection,
        key,
    } = place;
    format!("{flow}/{project}/{collection}/{key}").into()
}

/// Tells whether an operator threw away what the flow had done in this version.
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
