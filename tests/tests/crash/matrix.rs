//! Crashes at every point, forward and in the rollback, in a first life and in a recovery.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use acceptance::crash::{Death, Task, Visits};
use cairn::Verdict;
use cairn::crash::CrashPoint;
use cairn::event::FlowState;

use super::{End, Lives};

/// How often a visit is tried that a life missed.
const TRIES: usize = 3;

/// Selects the visits of a point at which a life dies: all of them if `CAIRN_TEST_EXHAUSTIVE` is set.
fn times(all: usize) -> Vec<usize> {
    const SOME: usize = 3;
    if std::env::var_os("CAIRN_TEST_EXHAUSTIVE").is_some() || all <= SOME {
        return (1..=all).collect();
    }
    // The first, the last, and those evenly spaced between.
    (0..SOME).map(|n| 1 + n * (all - 1) / (SOME - 1)).collect()
}

/// A flow that succeeds or fails at one of its tasks, with the way of recovery and the size of commits.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    fails: Option<usize>,
    resumes: bool,
    events: usize,
    on_a_server: bool,
}

fn scenarios() -> Vec<Scenario> {
    let fails = std::iter::once(None).chain((1..=7).map(Some));
    let scenarios = fails.enumerate().flat_map(|(index, fails)| {
        // Alternates the combinations of recovery and commit size.
        [false, true].map(|resumes| Scenario {
            fails,
            resumes,
            events: if (index % 2 == 0) == resumes { 1 } else { 4 },
            on_a_server: false,
        })
    });
    scenarios.collect()
}

impl Scenario {
    fn lives(self) -> Lives {
        match self.on_a_server {
            true => Lives::on_a_server(self.fails, self.resumes, self.events)
                .expect("the caller has looked for a server"),
            false => Lives::new(self.fails, self.resumes, self.events),
        }
    }

    /// Returns the places where a life may end.
    fn deaths(visits: &[Visits]) -> Vec<Death> {
        let deaths = visits.iter().flat_map(|visits| {
            times(visits.times).into_iter().map(|time| Death {
                point: visits.point.clone(),
                reverting: visits.reverting,
                time,
            })
        });
        deaths.collect()
    }

    /// Checks the final state.
    fn expect(self, lives: &Lives, context: &str) {
        let found = lives.recovered(context);
        assert!(found.flows.len() <= 1, "{context}: {found:?}");
        for (state, verdict) in found.flows.values() {
            // The task that marks a failed volume cannot do so if it failed itself.
            let incomplete = *verdict == Some(Verdict::Incomplete);
            assert!(!incomplete || self.fails == Some(6), "{context}");
            match (state, self.fails, self.resumes) {
                (FlowState::Success, None, _) | (FlowState::Failure, Some(_), _) => {}
                // It was rolled back because its caller is gone.
                (FlowState::Failure, None, false) => {}
                other => panic!("{context}: {other:?}"),
            }
        }
    }
}

/// The number of tested combinations by phase and point.
#[derive(Default)]
struct Covered(Mutex<BTreeMap<&'static str, BTreeMap<String, usize>>>);

impl Covered {
    fn add(&self, recovering: bool, death: &Death) {
        let phase = match (recovering, death.reverting) {
            (false, false) => "forward",
            (false, true) => "revert",
            (true, false) => "recovery of forward",
            (true, true) => "recovery of revert",
        };
        let mut covered = self.0.lock().expect("no test panics with it");
        *covered
            .entry(phase)
            .or_default()
            .entry(death.point.clone())
            .or_default() += 1;
    }
}

#[test]
fn a_process_that_dies_anywhere_loses_nothing_and_does_nothing_twice() {
    let (covered, missed) = run_all(scenarios());
    let all = few_are_missed(&covered, missed);
    assert!(all >= 200, "only {all} combinations");
    every_point_is_reached(&covered, |point| {
        !ELSEWHERE.contains(&point) && !ON_A_SERVER.contains(&point)
    });
}

#[test]
fn a_process_on_a_server_that_dies_anywhere_loses_nothing_and_does_nothing_twice() {
    on_a_server(|scenario| {
        matches!(
            (scenario.fails, scenario.resumes, scenario.events),
            (None, true, 4) | (None, false, 1) | (Some(7), true, _)
        )
    });
}

#[test]
#[ignore = "takes minutes: all flows that die on SQLite"]
fn every_flow_on_a_server_that_dies_anywhere_loses_nothing_and_does_nothing_twice() {
    on_a_server(|_| true);
}

fn on_a_server(chosen: impl Fn(&Scenario) -> bool) {
    if cairn_test_postgres::shared().is_none() {
        return;
    }
    let scenarios = scenarios().into_iter().filter(chosen);
    let scenarios = scenarios.map(|scenario| Scenario {
        on_a_server: true,
        ..scenario
    });
    let (covered, missed) = run_all(scenarios.collect());
    few_are_missed(&covered, missed);
    every_point_is_reached(&covered, |point| {
        !ELSEWHERE.contains(&point) && !IN_A_FILE.contains(&point)
    });
}

/// Combinations that were tried, by phase and point.
type Tried = BTreeMap<&'static str, BTreeMap<String, usize>>;

/// Runs scenarios, and returns what was covered and how many combinations were not reached again.
fn run_all(scenarios: Vec<Scenario>) -> (Tried, usize) {
    let covered = Covered::default();
    let missed = AtomicUsize::new(0);
    let scenarios = Mutex::new(scenarios.into_iter());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let next = scenarios.lock().expect("no thread panics with it").next();
                    let Some(scenario) = next else { return };
                    run(scenario, &covered, &missed);
                }
            });
        }
    });
    let covered = covered.0.into_inner().expect("every thread is done");
    let all: usize = covered.values().flat_map(BTreeMap::values).sum();
    let missed = missed.into_inner();
    println!(
        "{all} combinations of a point, a phase, a time and a flow; {missed} more were not reached again"
    );
    for (phase, points) in &covered {
        println!("  {phase}: {points:?}");
    }
    (covered, missed)
}

/// Checks that most combinations were reached again, and returns how many were.
fn few_are_missed(covered: &Tried, missed: usize) -> usize {
    let all: usize = covered.values().flat_map(BTreeMap::values).sum();
    assert!(
        missed * 10 < all,
        "{missed} of {all} points were not reached again"
    );
    all
}

fn every_point_is_reached(covered: &Tried, is_expected: impl Fn(&str) -> bool) {
    for phase in [
        "forward",
        "revert",
        "recovery of forward",
        "recovery of revert",
    ] {
        assert!(covered.contains_key(phase), "nothing died in {phase}");
    }
    let reached: BTreeSet<&str> = covered
        .values()
        .flat_map(BTreeMap::keys)
        .map(String::as_str)
        .collect();
    let forgotten: Vec<&str> = CrashPoint::ALL
        .iter()
        .map(|point| point.name())
        .filter(|point| !reached.contains(point) && is_expected(point))
        .collect();
    assert!(forgotten.is_empty(), "nothing died at {forgotten:?}");
}

/// Points of a database on a server only.
const ON_A_SERVER: &[&str] = &["BatchSent", "PartitionClaimed"];

/// Points of a database in a file only.
const IN_A_FILE: &[&str] = &["RowsWritten", "BatchWritten", "HostLocked", "LogCopied"];

/// Points that the flow alone does not come to; each has a test of its own, in `operators`, `deliver`, `doubt` or `shared`, or in the
/// tests `acts`.
const ELSEWHERE: &[&str] = &[
    "WitnessRead",
    "PartitionGivenBack",
    "InboxTaken",
    "FlowSetAside",
    "RequestServed",
    "RequestAnswered",
    "MessagesPublished",
    "MessagesSettled",
    "ActIntended",
    "ActDone",
    "RemovalIntended",
    "RemovalDone",
];

fn run(scenario: Scenario, covered: &Covered, missed: &AtomicUsize) {
    let End::Natural(visits) = scenario.lives().live(Task::Run, None) else {
        panic!("{scenario:?}: a life without a death ended by one");
    };
    let deaths = Scenario::deaths(&visits);
    for (index, death) in deaths.iter().enumerate() {
        // How many batches a flow is in depends on the time that it takes: a later visit may be missed.
        let died = (0..TRIES).find_map(|_| {
            let lives = scenario.lives();
            matches!(lives.live(Task::Run, Some(death)), End::Death).then_some(lives)
        });
        let Some(lives) = died else {
            missed.fetch_add(1, Ordering::SeqCst);
            continue;
        };
        covered.add(false, death);
        // Every second one dies again in the rollback, at a changing place.
        if index % 2 == 0 {
            die_again(scenario, &lives, death, index, covered, missed);
        }
        scenario.expect(&lives, &format!("{scenario:?} died at {death:?}"));
    }
}

/// Kills the recovery too, and the recovery of that one.
fn die_again(
    scenario: Scenario,
    lives: &Lives,
    first: &Death,
    index: usize,
    covered: &Covered,
    missed: &AtomicUsize,
) {
    // The points that a recovery reaches are taken from another one, started from the same state.
    let twin = scenario.lives();
    if !matches!(twin.live(Task::Run, Some(first)), End::Death) {
        return;
    }
    let End::Natural(visits) = twin.live(Task::Recover, None) else {
        panic!("a life without a death ended by one");
    };
    let deaths = Scenario::deaths(&visits);
    let Some(death) = deaths.get(index / 2 % deaths.len().max(1)) else {
        return;
    };
    match lives.live(Task::Recover, Some(death)) {
        End::Death => covered.add(true, death),
        End::Natural(_) => {
            missed.fetch_add(1, Ordering::SeqCst);
        }
    }
    // A third life dies at the same place, if it reaches it.
    lives.live(Task::Recover, Some(death));
}
