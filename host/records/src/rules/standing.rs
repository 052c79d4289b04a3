//! Checks whether a number may be added to a counter. Pure.

use super::tables::Counter;
use crate::settings::Bounds;

impl Counter {
    /// Returns the published value, without the additions of unfinished flows.
    pub fn published(&self) -> i64 {
        let pending = i128::from(self.pending_up) + i128::from(self.pending_down);
        let published = i128::from(self.number) - pending;
        i64::try_from(published).unwrap_or(if published < 0 { i64::MIN } else { i64::MAX })
    }
}

/// The reason why a number cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It would exceed a bound in every outcome of the other unfinished flows.
    Bounds,
    /// It might exceed a bound, depending on the outcome of other unfinished flows.
    Busy,
}

impl Refusal {
    /// Returns the kind of its error.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Bounds => "Bounds",
            Self::Busy => "Busy",
        }
    }
}

/// Separate sums of positive and of negative numbers, because each number may be undone or kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) up: i128,
    pub(super) down: i128,
}

/// The state of a counter before an addition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// The value without the additions of unfinished flows.
    pub(super) published: i128,
    /// The additions of this flow.
    pub(super) own: Sums,
    /// The additions of other unfinished flows.
    pub(super) others: Sums,
}

impl Standing {
    /// Describes a counter to which this flow has added `own`.
    pub(super) fn of(counter: Option<&Counter>, own: Sums) -> Self {
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

    /// Checks that the counter stays within its bounds after adding `delta`, whichever unfinished flows succeed.
    pub(super) fn check(&self, delta: i64, bounds: Bounds) -> Result<(), Refusal> {
        if delta == 0 {
            return Ok(());
        }
        let rises = delta > 0;
        // The sums with the sign of this number, and those with the opposite sign.
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
            // Each of this flow's own numbers may be kept or undone.
            (5, (5, 0), (0, 0), 1, Err(Refusal::Bounds)),
            (0, (5, 0), (0, 0), -1, Err(Refusal::Bounds)),
            (10, (0, -5), (0, 0), 1, Err(Refusal::Bounds)),
            // A counter that is out of bounds may move towards them.
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
