//! How many flows there are in each state, as several pages show it.

use cairn::event::FlowState;
use cairn::store::view::FlowCounts;
use maud::{Markup, html};

use super::text;
use super::words;
use crate::counters::Counters;

/// The states that are counted together.
const GROUPS: [(FlowState, &[FlowState]); 5] = [
    (
        FlowState::Running,
        &[
            FlowState::Pending,
            FlowState::Started,
            FlowState::Resuming,
            FlowState::Running,
        ],
    ),
    (FlowState::Reverting, &[FlowState::Reverting]),
    (FlowState::Interrupted, &[FlowState::Interrupted]),
    (FlowState::Failure, &[FlowState::Failure]),
    (FlowState::Success, &[FlowState::Success]),
];

/// Shows the counts: of all flows, and of those of the last hour.
pub(super) fn section(counters: &Counters) -> Markup {
    let sum = |counts: &FlowCounts, states: &[FlowState]| -> u64 {
        states.iter().map(|state| counts.of(*state)).sum()
    };
    html! {
        section #counters aria-label="Flows by state" aria-live="polite" {
            ul.counters {
                @for (state, states) in GROUPS {
                    li { a href={ "/ui/flows?state=" (state) } {
                        (words::state(state, false))
                        b { (text::grouped(sum(&counters.all, states))) }
                        span.quiet { (text::grouped(sum(&counters.hour, states))) " in the last hour" }
                    } }
                }
                li { a href="/ui/flows" {
                    span.state { "all" }
                    b { (text::grouped(counters.all.total())) }
                    span.quiet { (rate(counters.minute)) }
                } }
            }
        }
    }
}

/// Formats how many flows a second there were in the last minute.
fn rate(minute: u64) -> String {
    match minute {
        0 => "none in the last minute".to_owned(),
        1..600 => format!("{minute} in the last minute"),
        _ => format!("{} a second", text::grouped(minute / 60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn::store::view::StateCount;

    #[test]
    fn every_state_is_counted_once() {
        let all: Vec<FlowState> = GROUPS
            .iter()
            .flat_map(|(_, states)| *states)
            .copied()
            .collect();
        for state in FlowState::ALL {
            let times = all.iter().filter(|known| **known == state).count();
            assert_eq!(times, 1, "{state}");
        }
    }

    #[test]
    fn counts_are_of_all_flows_and_of_the_last_hour() {
        let counted = |flows| FlowCounts {
            states: vec![StateCount {
                state: FlowState::Failure,
                flows,
            }],
        };
        let counters = Counters {
            all: counted(1_234_567),
            hour: counted(12),
            minute: 6_000,
        };
        let shown = section(&counters).into_string().replace('\u{a0}', " ");
        for part in ["<b>1 234 567</b>", "12 in the last hour", "100 a second"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }
}
