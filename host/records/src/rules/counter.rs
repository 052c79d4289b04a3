//! Counters: numbers that flows add to, and that stay within bounds whatever becomes of the flows that have not ended.

use std::sync::Arc;

use serde_json::json;

use cairn_model::error::TaskError;
use cairn_model::value::Value;

use super::place::{joined, own_project, settings};
use super::record::flow;
use super::settle::is_unreverted;
use super::tables::{Addition, Counter};
use crate::settings::{Bounds, shown};
use cairn_effects::effect::{Change, counts};
use cairn_effects::rows::{End, Inverse, Row as _, RowId, Rows, Stop, Text, Undo, typed};
use cairn_effects::rules::{Effect, LookUp};

/// Add to a counter. Other flows see it when this one has succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterAdd {
    /// The collection.
    pub collection: String,
    /// The counter.
    pub counter: String,
    /// What is added.
    pub delta: i64,
}

/// Read a counter: what flows that have ended have made of it.
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
                // That there is a counter is no change of the flow's.
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
                "adding {delta} to the counter `{counter}` of the collection `{collection}` may take it out of its bounds, {range}: that hangs \
                 on what other flows have added that have not ended; try again"
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

/// Why a number cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Whatever becomes of other flows.
    Bounds,
    /// As long as other flows have not ended.
    Busy,
}

impl Refusal {
    const fn kind(self) -> &'static str {
        match self {
            Self::Bounds => "Bounds",
            Self::Busy => "Busy",
        }
    }
}

/// Sums of positive and of negative numbers, apart: some of them may be taken back, and others not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) up: i128,
    pub(super) down: i128,
}

/// How a counter stands when a number is to be added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// What flows that have ended have made of it.
    pub(super) published: i128,
    /// What this flow has added.
    pub(super) own: Sums,
    /// What other flows have added that have not ended.
    pub(super) others: Sums,
}

impl Standing {
    fn of(counter: Option<&Counter>, own: Sums) -> Self {
        let Some(counter) = counter else {
            return Self::default();
        };
        Self {
            published: counter.published().into(),
            own,
            others: Sums {
                up: i128::from(counter.pending_up) - own.up,
                down: i128::from(counter.pending_down) - own.down,
            },
        }
    }

    /// Checks that a counter stays within its bounds when this is added, whichever of the flows that have not ended succeed.
    pub(super) fn check(&self, delta: i64, bounds: Bounds) -> Result<(), Refusal> {
        if delta == 0 {
            return Ok(());
        }
        let rises = delta > 0;
        // What goes the same way as this number, and what goes the other way.
        let along = |sums: Sums| if rises { sums.up } else { sums.down };
        let against = |sums: Sums| if rises { sums.down } else { sums.up };
        let fits = |number: i128| match rises {
            true => number <= i128::from(bounds.max),
            false => number >= i128::from(bounds.min),
        };
        let pending = along(self.own) + along(self.others) + i128::from(delta);
        if i64::try_from(pending).is_err() {
            return Err(Refusal::Bounds);
        }
        let own = self.published + along(self.own) + i128::from(delta);
        if fits(own + along(self.others)) {
            return Ok(());
        }
        match fits(own + against(self.others)) {
            true => Err(Refusal::Busy),
            false => Err(Refusal::Bounds),
        }
    }
}

impl Counter {
    /// What flows that have ended have made of it.
    pub fn published(&self) -> i64 {
        let pending = i128::from(self.pending_up) + i128::from(self.pending_down);
        let published = i128::from(self.number) - pending;
        i64::try_from(published).unwrap_or(if published < 0 { i64::MIN } else { i64::MAX })
    }

    /// The same counter with more pending, or with less for the opposite number of what was.
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

    /// The same counter with a number no longer pending: it has become a part of what is published, or is taken back.
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

/// Between which numbers an operator keeps a counter.
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

/// What this flow has added to a counter and what is pending of it.
fn own_additions(rows: &mut Rows<'_>, of: [&Text; 3]) -> Result<Sums, Stop> {
    let own = flow(rows);
    let mut sums = Sums::default();
    for addition in rows.of_flow::<Addition>()? {
        let same = [
            &addition.project_id,
            &addition.collection,
            &addition.counter,
        ] == of;
        if !same || own.is_none() || addition.flow != own {
            continue;
        }
        match addition.delta > 0 {
            true => sums.up += i128::from(addition.delta),
            false => sums.down += i128::from(addition.delta),
        }
    }
    Ok(sums)
}

/// Takes back that a number is pending; the number itself is taken back with the counter's own change. Once it was published, there is
/// nothing pending.
pub(super) fn undo(rows: &mut Rows<'_>, inverse: &Inverse<'_>) -> Result<Undo, Stop> {
    let Some(addition) = inverse.found.as_ref().and_then(typed::<Addition>) else {
        return Ok(Undo::Nothing);
    };
    close(rows, &addition)?;
    Ok(Undo::Done)
}

/// Publishes what a flow has added when it succeeds; when it fails, what was kept of it.
pub(super) fn settle(rows: &mut Rows<'_>, end: End<'_>) -> Result<(), Stop> {
    let own = flow(rows);
    for addition in rows.of_flow::<Addition>()? {
        if own.is_some() && addition.flow == own && !is_unreverted(addition.task.as_ref(), end) {
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

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { min: 0, max: 10 };

    fn standing(published: i128, own: (i128, i128), others: (i128, i128)) -> Standing {
        let sums = |(up, down)| Sums { up, down };
        Standing {
            published,
            own: sums(own),
            others: sums(others),
        }
    }

    #[test]
    fn bounds_hold_for_every_outcome_of_unfinished_flows() {
        for (published, own, others, delta, expected) in [
            (5, (0, 0), (0, 0), 5, Ok(())),
            (5, (0, 0), (0, 0), 6, Err(Refusal::Bounds)),
            (5, (0, 0), (0, 0), -5, Ok(())),
            (5, (0, 0), (0, 0), -6, Err(Refusal::Bounds)),
            // Another flow may fail or succeed.
            (5, (0, 0), (5, 0), 1, Err(Refusal::Busy)),
            (5, (0, 0), (5, 0), -6, Err(Refusal::Busy)),
            (5, (0, 0), (0, -5), -1, Err(Refusal::Busy)),
            (5, (0, 0), (0, -5), 6, Err(Refusal::Busy)),
            (5, (0, 0), (0, -1), 7, Err(Refusal::Bounds)),
            // This flow's own numbers may be kept or taken back, each for itself.
            (5, (5, 0), (0, 0), 1, Err(Refusal::Bounds)),
            (0, (5, 0), (0, 0), -1, Err(Refusal::Bounds)),
            (10, (0, -5), (0, 0), 1, Err(Refusal::Bounds)),
            // What is out of bounds already may come back towards them.
            (12, (0, 0), (0, 0), -1, Ok(())),
            (-3, (0, 0), (0, 0), 2, Ok(())),
            (12, (0, 0), (0, 0), 0, Ok(())),
        ] {
            let found = standing(published, own, others).check(delta, BOUNDS);
            assert_eq!(found, expected, "{published} {own:?} {others:?} + {delta}");
        }
    }

    #[test]
    fn no_sum_overflows() {
        let far = standing(
            i64::MAX.into(),
            (i64::MAX.into(), 0),
            (i64::MAX.into(), i64::MIN.into()),
        );
        assert_eq!(far.check(i64::MAX, Bounds::default()), Err(Refusal::Bounds));
        let free = standing(0, (0, 0), (0, 0));
        assert_eq!(free.check(i64::MIN, Bounds::default()), Ok(()));
        let low = standing(i64::MIN.into(), (i64::MAX.into(), 0), (0, 0));
        assert_eq!(low.check(1, Bounds::default()), Err(Refusal::Bounds));
    }
}
