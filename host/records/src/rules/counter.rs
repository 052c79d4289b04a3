//! Counters: numbers that flows add to. They stay within bounds in every outcome of unfinished flows.

use std::sync::Arc;

use serde_json::json;

use cairn_model::error::TaskError;
use cairn_model::value::Value;

use super::place::{joined, own_project, settings};
use super::settle::is_unreverted;
use super::standing::{Refusal, Standing, Sums};
use super::tables::{Addition, Counter};
use crate::settings::{Bounds, shown};
use cairn_effects::effect::{Change, counts};
use cairn_effects::rows::{End, Inverse, Row as _, RowId, Rows, Stop, Text, Undo, typed};
use cairn_effects::rules::{Effect, LookUp};

/// Adds to a counter. Other flows see the addition when this one has succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterAdd {
    /// The collection.
    pub collection: String,
    /// The counter.
    pub counter: String,
    /// The number to be added.
    pub delta: i64,
}

/// Reads the published value of a counter, without the additions of unfinished flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterValue {
    /// The collection.
    pub collection: String,
    /// The counter.
    pub counter: String,
}

impl Effect for CounterAdd {
    const NAME: &'static str = "counter_add";
    const FUNCTION: &'static str = "records.add";
    type Answer = ();

    fn arguments(&self) -> Value {
        json!({"collection": self.collection, "counter": self.counter, "delta": self.delta})
    }

    fn apply(&self, rows: &mut Rows<'_>) -> Result<(), Stop> {
        let bounds = bounds(rows, &self.collection, &self.counter)?;
        let project = own_project(rows)?;
        let (collection, counter) = (Text::from(&*self.collection), Text::from(&*self.counter));
        let key = joined([&project, &collection, &counter]);
        let found = rows.get::<Counter>(key.clone())?;
        let own = own_additions(rows, [&project, &collection, &counter])?;
        let standing = Standing::of(found.as_deref(), own);
        if let Err(refusal) = standing.check(self.delta, bounds) {
            return Err(self.refused(refusal, &standing, bounds).into());
        }
        if self.delta == 0 {
            return Ok(());
        }
        let old = match found {
            Some(found) => found,
            None => {
                let made = rows.insert(Counter {
                    project_id: Text::clone(&project),
                    collection: Text::clone(&collection),
                    counter: Text::clone(&counter),
                    ..Counter::default()
                });
                // The row of a new counter is no change of the flow, so it is kept even if the effect is refused.
                rows.keep();
                made
            }
        };
        if let Some(call) = rows.by().call {
            rows.update(&old, old.with_pending(self.delta));
            let addition = Addition {
                id: rows.new_id(),
                project_id: project,
                collection,
                counter,
                delta: self.delta,
                flow: Some(call.flow),
                task: Some(call.task.to_string().into()),
            };
            let addition = rows.insert(addition);
            rows.note(Change::Row {
                table: Addition::TABLE.name.into(),
                id: Text::clone(&addition.id).into(),
                before: None,
                after: Some(
                    [("delta".to_owned(), self.delta.into())]
                        .into_iter()
                        .collect(),
                ),
            });
        }
        rows.count_by(&RowId::of::<Counter>(key.clone()), [("number", self.delta)])?;
        rows.note(Change::Count {
            table: Counter::TABLE.name.into(),
            key,
            by: counts([("number", self.delta)]),
        });
        Ok(())
    }
}

impl CounterAdd {
    fn refused(&self, refusal: Refusal, standing: &Standing, bounds: Bounds) -> TaskError {
        let (counter, collection, delta) =
            (shown(&self.counter), shown(&self.collection), self.delta);
        let range = format!("from {} to {}", bounds.min, bounds.max);
        let message = match refusal {
            Refusal::Bounds => format!(
                "adding {delta} to the counter `{counter}` of the collection `{collection}`, which is {}, takes it out of its bounds, {range}",
                standing.published
            ),
            Refusal::Busy => format!(
                "adding {delta} to the counter `{counter}` of the collection `{collection}` may take it out of its bounds, {range}, \
                 depending on additions of flows that have not ended; try again"
            ),
        };
        TaskError::new(refusal.kind(), message)
            .with("collection", collection)
            .with("counter", counter)
            .with("min", bounds.min)
            .with("max", bounds.max)
    }
}

impl LookUp for CounterValue {
    const FUNCTION: Option<&'static str> = Some("records.count");
    type Answer = i64;

    fn arguments(&self) -> Value {
        json!({"collection": self.collection, "counter": self.counter})
    }

    fn look_up(&self, rows: &mut Rows<'_>) -> Result<i64, Stop> {
        bounds(rows, &self.collection, &self.counter)?;
        let project = own_project(rows)?;
        let (collection, counter) = (Text::from(&*self.collection), Text::from(&*self.counter));
        let found = rows.get::<Counter>(joined([&project, &collection, &counter]))?;
        Ok(found.map_or(0, |counter| counter.published()))
    }
}

impl Counter {
    /// Adds a number to the pending sums.
    fn with_pending(&self, delta: i64) -> Self {
        let mut new = self.clone();
        let sum = if delta > 0 {
            &mut new.pending_up
        } else {
            &mut new.pending_down
        };
        *sum = sum.saturating_add(delta);
        new
    }

    /// Removes a number from the pending sums, because it was published or is being undone.
    fn without_pending(&self, delta: i64) -> Self {
        let mut new = self.clone();
        let sum = if delta > 0 {
            &mut new.pending_up
        } else {
            &mut new.pending_down
        };
        *sum = sum.saturating_sub(delta);
        new
    }
}

/// Returns the bounds that the operator has set for a counter.
fn bounds(rows: &Rows<'_>, collection: &str, counter: &str) -> Result<Bounds, Stop> {
    let settings = settings(rows, collection)?;
    settings.counters.get(counter).copied().ok_or_else(|| {
        let (name, shown) = (shown(counter), shown(collection));
        let message = format!(
            "the collection `{shown}` has no counter `{name}`: the operator adds [records.{shown}.counters.{name}] to cairn.toml"
        );
        TaskError::new("CounterNotFound", message)
            .with("collection", collection)
            .with("counter", counter)
            .into()
    })
}

/// Sums this flow's pending additions to a counter.
fn own_additions(rows: &mut Rows<'_>, of: [&Text; 3]) -> Result<Sums, Stop> {
    let mut sums = Sums::default();
    for addition in rows.of_flow::<Addition>()? {
        let same = [
            &addition.project_id,
            &addition.collection,
            &addition.counter,
        ] == of;
        if !same {
            continue;
        }
        match addition.delta > 0 {
            true => sums.up += i128::from(addition.delta),
            false => sums.down += i128::from(addition.delta),
        }
    }
    Ok(sums)
}

/// Removes a pending addition; the inverse of the counter's change subtracts the number itself. Does nothing once the addition was
/// published.
pub(super) fn undo(rows: &mut Rows<'_>, inverse: &Inverse<'_>) -> Result<Undo, Stop> {
    let Some(addition) = inverse.found.as_ref().and_then(typed::<Addition>) else {
        return Ok(Undo::Nothing);
    };
    close(rows, &addition)?;
    Ok(Undo::Done)
}

/// Publishes the additions of a flow that succeeded, or those that a failed flow kept.
pub(super) fn settle(rows: &mut Rows<'_>, end: End<'_>) -> Result<(), Stop> {
    for addition in rows.of_flow::<Addition>()? {
        if !is_unreverted(addition.task.as_ref(), end) {
            close(rows, &addition)?;
        }
    }
    Ok(())
}

fn close(rows: &mut Rows<'_>, addition: &Arc<Addition>) -> Result<(), Stop> {
    let key = joined([
        &addition.project_id,
        &addition.collection,
        &addition.counter,
    ]);
    if let Some(counter) = rows.get::<Counter>(key)? {
        rows.update(&counter, counter.without_pending(addition.delta));
    }
    rows.remove(addition);
    Ok(())
}
