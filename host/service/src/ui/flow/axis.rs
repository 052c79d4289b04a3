//! The axis of a timeline: maps times to places, and squeezes the gaps in which nothing happened.

use std::time::Duration;

use cairn::clock::Timestamp;

/// A part of the axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Segment {
    pub from: Timestamp,
    pub to: Timestamp,
    /// Where it begins and ends, in percent of the width.
    pub left: f64,
    pub right: f64,
    /// Whether it is a squeezed gap.
    pub is_break: bool,
}

/// Maps times to places, in percent of the width.
#[derive(Debug)]
pub(super) struct Axis {
    pub segments: Vec<Segment>,
}

/// A gap is squeezed when it is longer than the shown time divided by this.
const TENTH: u32 = 10;
/// The most gaps that are squeezed.
const MOST_BREAKS: usize = 8;
/// The width of a squeezed gap, and of all together, in percent.
const BREAK: f64 = 9.0;
const BREAKS: f64 = 45.0;
/// The least width of what stands between two squeezed gaps, in percent.
const LEAST: f64 = 2.5;

impl Axis {
    /// Makes the axis from `from` to `to`. `busy` are the times in which something was under way, in any order.
    pub(super) fn new(
        (from, to): (Timestamp, Timestamp),
        busy: impl IntoIterator<Item = (Timestamp, Timestamp)>,
    ) -> Self {
        // An axis has a length.
        let to = to.max(Timestamp(from.0.saturating_add(1)));
        let breaks = breaks((from, to), gaps((from, to), busy));
        let narrow = match breaks.len() {
            0 => 0.0,
            number => BREAK.min(BREAKS / number as f64),
        };
        let squeezed: i64 = breaks.iter().map(|(from, to)| to.0 - from.0).sum();
        let shown = (to.0 - from.0 - squeezed).max(1) as f64;
        let live = breaks.len() + 1;
        let least = if breaks.is_empty() { 0.0 } else { LEAST };
        let rest = 100.0 - narrow * breaks.len() as f64 - least * live as f64;
        let mut segments = Vec::with_capacity(live * 2);
        let (mut at, mut left) = (from, 0.0);
        for (gap, end) in breaks.into_iter().chain([(to, to)]) {
            let right = left + least + rest * (gap.0 - at.0) as f64 / shown;
            segments.push(Segment {
                from: at,
                to: gap,
                left,
                right,
                is_break: false,
            });
            if gap == end {
                break;
            }
            segments.push(Segment {
                from: gap,
                to: end,
                left: right,
                right: right + narrow,
                is_break: true,
            });
            (at, left) = (end, right + narrow);
        }
        Self { segments }
    }

    /// Returns the place of a time, from 0 to 100.
    pub(super) fn place(&self, at: Timestamp) -> f64 {
        let found = self.segments.iter().find(|segment| at <= segment.to);
        let Some(segment) = found else { return 100.0 };
        let length = (segment.to.0 - segment.from.0).max(1) as f64;
        let share = ((at.0 - segment.from.0) as f64 / length).clamp(0.0, 1.0);
        (segment.right - segment.left).mul_add(share, segment.left)
    }

    /// Returns the times to be written at the axis, with their places. Behind a squeezed gap they are the time since the flow began, and then
    /// the times since that one.
    pub(super) fn ticks(&self, begin: Timestamp) -> Vec<(f64, Tick)> {
        let mut ticks = Vec::new();
        for (number, segment) in self.segments.iter().enumerate() {
            let width = segment.right - segment.left;
            // The room that labels need.
            let most = (width / LABEL).floor();
            if segment.is_break || most < 1.0 {
                continue;
            }
            let length = segment.to.since(segment.from);
            let step = nice(length.as_micros() / most as u128);
            let is_first = number == 0;
            // On the whole axis round times; behind a gap its end, and round times from there on.
            let offset = segment.from.since(begin);
            let base = if is_first { offset.as_micros() } else { 0 };
            let mut at = base.div_ceil(step) * step;
            while at <= base + length.as_micros() {
                let since = Duration::from_micros(u64::try_from(at - base).unwrap_or(u64::MAX));
                let place = self.place(segment.from.after(since));
                let tick = match (is_first, at) {
                    (true, _) => Tick::Since(offset + since),
                    (false, 0) => Tick::Since(offset),
                    (false, _) => Tick::Later(since),
                };
                if place <= segment.right - LABEL / 3.0 || is_first && self.segments.len() == 1 {
                    ticks.push((place, tick));
                }
                at += step;
            }
        }
        ticks
    }
}

/// The width of a label, in percent.
const LABEL: f64 = 14.0;

/// A time at the axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tick {
    /// Since the flow began.
    Since(Duration),
    /// Since the end of the squeezed gap before it.
    Later(Duration),
}

/// Returns the next round number of microseconds.
fn nice(micros: u128) -> u128 {
    const STEPS: &[u128] = &[
        1,
        2,
        5,
        10,
        20,
        50,
        100,
        200,
        500,
        1_000,
        2_000,
        5_000,
        10_000,
        20_000,
        50_000,
        100_000,
        200_000,
        500_000,
        1_000_000,
        2_000_000,
        5_000_000,
        10_000_000,
        20_000_000,
        30_000_000,
        60_000_000,
        120_000_000,
        300_000_000,
        600_000_000,
        1_200_000_000,
        1_800_000_000,
        3_600_000_000,
        7_200_000_000,
        21_600_000_000,
        43_200_000_000,
        86_400_000_000,
    ];
    let found = STEPS.iter().find(|step| **step >= micros);
    found.copied().unwrap_or_else(|| {
        let day = 86_400_000_000;
        micros.div_ceil(day) * day
    })
}

/// Returns the gaps between the busy times, in order.
fn gaps(
    (from, to): (Timestamp, Timestamp),
    busy: impl IntoIterator<Item = (Timestamp, Timestamp)>,
) -> Vec<(Timestamp, Timestamp)> {
    let within = busy
        .into_iter()
        .filter(|(begin, end)| *end >= from && *begin <= to);
    let mut busy: Vec<_> = within.collect();
    busy.sort_unstable();
    let mut gaps = Vec::new();
    let mut reached = from;
    for (begin, end) in busy {
        if begin > reached {
            gaps.push((reached, begin));
        }
        reached = reached.max(end);
    }
    if to > reached {
        gaps.push((reached, to));
    }
    gaps
}

/// Chooses the gaps to squeeze: each longer than a tenth of what is shown once the others are squeezed.
fn breaks(
    (from, to): (Timestamp, Timestamp),
    mut gaps: Vec<(Timestamp, Timestamp)>,
) -> Vec<(Timestamp, Timestamp)> {
    gaps.sort_by_key(|(from, to)| std::cmp::Reverse(to.since(*from)));
    let mut shown = to.since(from);
    let mut breaks = Vec::new();
    for gap in gaps.into_iter().take(MOST_BREAKS) {
        let length = gap.1.since(gap.0);
        if length <= shown / TENTH {
            break;
        }
        shown -= length;
        breaks.push(gap);
    }
    breaks.sort_unstable();
    breaks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(to: i64, busy: &[(i64, i64)]) -> Axis {
        let busy = busy
            .iter()
            .map(|(from, to)| (Timestamp(*from), Timestamp(*to)));
        Axis::new((Timestamp(0), Timestamp(to)), busy)
    }

    fn is_near(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 0.01
    }

    #[test]
    fn without_gaps_places_are_proportional() {
        let axis = axis(1_000, &[(0, 1_000)]);
        assert_eq!(axis.segments.len(), 1);
        for (at, place) in [(0, 0.0), (250, 25.0), (1_000, 100.0), (2_000, 100.0)] {
            assert!(is_near(axis.place(Timestamp(at)), place), "{at}");
        }
    }

    #[test]
    fn a_gap_over_a_tenth_is_squeezed_and_a_shorter_one_is_not() {
        let is_squeezed = |gap: i64| {
            let axis = axis(1_000, &[(0, 500), (500 + gap, 1_000)]);
            axis.segments.iter().any(|segment| segment.is_break)
        };
        assert!(!is_squeezed(100));
        assert!(is_squeezed(101));
    }

    #[test]
    fn the_long_gap_does_not_hide_the_one_beside_it() {
        // Days, then an hour, between seconds.
        let (day, hour) = (86_400_000_000, 3_600_000_000);
        let axis = axis(
            day + hour + 3_000,
            &[
                (0, 1_000),
                (day, day + 1_000),
                (day + hour, day + hour + 3_000),
            ],
        );
        let breaks = axis.segments.iter().filter(|segment| segment.is_break);
        assert_eq!(breaks.count(), 2);
        let last = axis.segments.last().unwrap();
        assert!(is_near(last.right, 100.0));
        assert!(last.right - last.left > 20.0, "{last:?}");
    }

    #[test]
    fn places_grow_with_time() {
        let axis = axis(
            1_000_000,
            &[(0, 5), (400_000, 400_500), (999_000, 1_000_000)],
        );
        let mut before = -1.0;
        for at in (0..=1_000_000).step_by(250) {
            let place = axis.place(Timestamp(at));
            assert!(place >= before, "{at}: {place} < {before}");
            before = place;
        }
        assert!(is_near(before, 100.0));
    }

    #[test]
    fn ticks_are_round_and_few() {
        let ticks = axis(1_234_567, &[(0, 1_234_567)]).ticks(Timestamp(0));
        let millis = |at| Tick::Since(Duration::from_millis(at));
        let shown: Vec<Tick> = ticks.iter().map(|(_, tick)| *tick).collect();
        assert_eq!(shown, [0, 200, 400, 600, 800, 1_000, 1_200].map(millis));
        let empty = axis(0, &[]).ticks(Timestamp(0));
        assert!(empty.len() <= 8, "{empty:?}");
    }

    #[test]
    fn behind_a_gap_times_count_from_its_end() {
        let axis = axis(60_001_000, &[(0, 1_000), (60_000_000, 60_001_000)]);
        let ticks = axis.ticks(Timestamp(0));
        let has = |tick| ticks.iter().any(|(_, known)| *known == tick);
        assert!(has(Tick::Since(Duration::from_secs(60))), "{ticks:?}");
        assert!(has(Tick::Later(Duration::from_micros(500))), "{ticks:?}");
    }

    #[test]
    fn many_gaps_leave_room_for_what_happened() {
        // Each gap is ten times as long as the one before.
        let busy: Vec<(i64, i64)> = (1..14)
            .map(|at| (10_i64.pow(at), 10_i64.pow(at) + 3))
            .collect();
        let axis = axis(10_i64.pow(14), &busy);
        let breaks = axis.segments.iter().filter(|segment| segment.is_break);
        assert_eq!(breaks.count(), MOST_BREAKS);
        assert!(
            axis.segments
                .iter()
                .all(|segment| segment.right > segment.left)
        );
    }
}
