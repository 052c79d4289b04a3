//! Crashes at every point of acts, in a first life and in a recovery, while providers fail in every way.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use acceptance::acts::{Death, Fault, Faults, Visits, WORLD_POINTS};
use cairn::Verdict;
use cairn::event::FlowState;

use super::{End, Lives, Scenario};

/// The crash points at which lives end, besides those of the world.
const POINTS: [&str; 6] = [
    "ActIntended",
    "ActDone",
    "RemovalIntended",
    "RemovalDone",
    "EventsAppended",
    "BatchCommitted",
];

fn is_chosen(point: &str) -> bool {
    POINTS.contains(&point) || WORLD_POINTS.contains(&point)
}

/// Returns all flows, with all that may go wrong.
fn scenarios() -> Vec<Scenario> {
    use Fault::{Panics, Refuses, UnsureAfter, UnsureBefore, UnsureWithin, Works};
    let makes = [
        Works,
        UnsureAfter,
        UnsureWithin,
        Refuses,
        UnsureBefore,
        Panics,
    ];
    let removes = [Works, UnsureAfter, Refuses, UnsureBefore, UnsureWithin];
    let mut scenarios = Vec::new();
    for make in makes {
        for remove in removes {
            for blind in [0, 2] {
                for (fails, resumes) in [(false, true), (true, false), (false, false), (true, true)]
                {
                    let faults = Faults {
                        makes: vec![Works, make],
                        removes: vec![remove],
                        blind,
                    };
                    scenarios.push(Scenario {
                        fails,
                        resumes,
                        removes: false,
                        faults,
                        mistake: None,
                    });
                }
            }
        }
    }
    scenarios
}

/// Returns the flows that remove objects, with all that may go wrong.
fn removals() -> Vec<Scenario> {
    use Fault::{Panics, Refuses, UnsureAfter, UnsureBefore, UnsureWithin, Works};
    let removes = [
        Works,
        UnsureAfter,
        Refuses,
        UnsureBefore,
        UnsureWithin,
        Panics,
    ];
    let mut scenarios = Vec::new();
    for first in removes {
        for second in [Works, UnsureBefore, Refuses] {
            for blind in [0, 2] {
                for resumes in [false, true] {
                    let faults = Faults {
                        makes: Vec::new(),
                        removes: vec![first, second],
                        blind,
                    };
                    scenarios.push(Scenario {
                        fails: false,
                        resumes,
                        removes: true,
                        faults,
                        mistake: None,
                    });
                }
            }
        }
    }
    scenarios
}

/// How many combinations died at each point, in a first life and in a recovery.
type Covered = BTreeMap<String, [usize; 2]>;

/// The places of death that were tried least so far come first.
fn least_covered(visits: &[Visits], covered: &Covered, recovering: bool) -> Vec<Death> {
    let chosen = visits.iter().filter(|visits| is_chosen(&visits.point));
    let mut deaths: Vec<(usize, Death)> = chosen
        .flat_map(|visits| {
            let before = covered.get(&visits.point);
            let before = before.map_or(0, |tried| tried[usize::from(recovering)]);
            (1..=visits.times).map(move |time| {
                let point = visits.point.clone();
                // A later visit of a point counts as one that was tried more.
                (before + time - 1, Death { point, time })
            })
        })
        .collect();
    deaths.sort_by_key(|(tried, _)| *tried);
    deaths.into_iter().map(|(_, death)| death).collect()
}

/// Runs scenarios, of each so many combinations, and returns how often lives died where, and how many were not reached.
fn run_all(scenarios: Vec<Scenario>, each: usize) -> (Covered, usize) {
    let covered = Mutex::new(Covered::new());
    let missed = AtomicUsize::new(0);
    let scenarios = Mutex::new(scenarios.into_iter());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let next = scenarios.lock().expect("no thread panics with it").next();
                    let Some(scenario) = next else { return };
                    run(&scenario, each, &covered, &missed);
                }
            });
        }
    });
    let covered = covered.into_inner().expect("every thread is done");
    let missed = missed.into_inner();
    println!(
        "{} combinations; {missed} were not reached",
        count(&covered)
    );
    println!("{covered:#?}");
    (covered, missed)
}

fn count(covered: &Covered) -> usize {
    covered.values().flatten().sum()
}

/// Kills flows of a scenario at places that were tried least: the first life alone, then the recovery too.
fn run(scenario: &Scenario, each: usize, covered: &Mutex<Covered>, missed: &AtomicUsize) {
    let lock = || covered.lock().expect("no thread panics with it");
    let mut whole = Lives::new(scenario);
    let visits = natural(whole.run(None), scenario);
    expect(&mut whole, scenario, false, "without a death");
    let deaths = least_covered(&visits, &lock(), false);
    for death in deaths.iter().take(each) {
        let mut lives = Lives::new(scenario);
        if !dies(lives.run(Some(death)), scenario) {
            missed.fetch_add(1, Ordering::SeqCst);
            continue;
        }
        lock().entry(death.point.clone()).or_default()[0] += 1;
        let visits = natural(lives.recover(None), scenario);
        expect(&mut lives, scenario, true, &format!("died at {death:?}"));
        let Some(second) = least_covered(&visits, &lock(), true).into_iter().next() else {
            continue;
        };
        let mut lives = Lives::new(scenario);
        if !dies(lives.run(Some(death)), scenario) || !dies(lives.recover(Some(&second)), scenario)
        {
            missed.fetch_add(1, Ordering::SeqCst);
            continue;
        }
        lock().entry(second.point.clone()).or_default()[1] += 1;
        natural(lives.recover(None), scenario);
        let context = format!("died at {death:?}, then at {second:?}");
        expect(&mut lives, scenario, true, &context);
    }
}

fn natural(end: anyhow::Result<End>, scenario: &Scenario) -> Vec<Visits> {
    match end {
        Ok(End::Natural(visits)) => visits,
        Ok(End::Death) => panic!("{scenario:?}: a life without a death ended by one"),
        Err(error) => panic!("{scenario:?}: {error:#}"),
    }
}

fn dies(end: anyhow::Result<End>, scenario: &Scenario) -> bool {
    match end {
        Ok(end) => matches!(end, End::Death),
        Err(error) => panic!("{scenario:?}: {error:#}"),
    }
}

/// Checks how it ends.
fn expect(lives: &mut Lives, scenario: &Scenario, died: bool, context: &str) {
    let found = match lives.end() {
        Ok(found) => found,
        Err(error) => panic!("{scenario:?} {context}: {error:#}"),
    };
    let others = usize::from(scenario.removes);
    assert!(
        found.len() <= 1 + others,
        "{scenario:?} {context}: {found:?}"
    );
    let faults = &scenario.faults;
    if scenario.removes {
        // Only a refusal, or a death before the first intent, brings it back.
        let may_fail = died || faults.removes[0] == Fault::Refuses;
        for end in found.values() {
            match end {
                (FlowState::Success, _) => {}
                (FlowState::Failure, Some(Verdict::Clean)) if may_fail => {}
                other => panic!("{scenario:?} {context}: {other:?}"),
            }
        }
        return;
    }
    let has_fault = faults.makes.iter().any(|fault| *fault != Fault::Works);
    let has_fault = has_fault || faults.removes != [Fault::Works] || faults.blind > 0;
    for end in found.values() {
        let may_succeed = !scenario.fails;
        let must_succeed = may_succeed && !has_fault && (scenario.resumes || !died);
        match end {
            (FlowState::Success, _) if may_succeed => {}
            (FlowState::Failure, Some(Verdict::Clean)) if !must_succeed => {}
            other => panic!("{scenario:?} {context}: {other:?}"),
        }
    }
}

/// Checks that lives died at every point, in a first life and in a recovery, and that few were missed.
fn everything_is_covered(covered: &Covered, missed: usize, least: usize, points: &[&str]) {
    let all = count(covered);
    assert!(all >= least, "only {all} combinations");
    assert!(missed * 10 < all, "{missed} of {all} were not reached");
    for point in points {
        let tried = covered.get(*point).copied().unwrap_or_default();
        assert!(tried.iter().all(|tried| *tried > 0), "{point}: {tried:?}");
    }
}

#[test]
fn a_process_that_dies_in_an_act_leaves_no_object_without_a_row() {
    // 7 and the number of scenarios have no common divisor: each fault is among them.
    let all = scenarios();
    let some = (0..33).map(|n| all[n * 7 % all.len()].clone());
    let (covered, missed) = run_all(some.collect(), 2);
    let points = [&POINTS[..], &WORLD_POINTS[..]].concat();
    everything_is_covered(&covered, missed, 60, &points);
}

/// The points of flows that remove objects.
const REMOVAL_POINTS: [&str; 6] = [
    "RemovalIntended",
    "RemovalDone",
    "RemovalBegun",
    "ObjectRemoved",
    "EventsAppended",
    "BatchCommitted",
];

#[test]
fn a_process_that_dies_at_a_pivot_loses_no_object_and_leaves_none_half_removed() {
    // 5 and the number of scenarios have no common divisor: each fault is among them.
    let all = removals();
    let some = (0..14).map(|n| all[n * 5 % all.len()].clone());
    let (covered, missed) = run_all(some.collect(), 2);
    everything_is_covered(&covered, missed, 24, &REMOVAL_POINTS);
}

#[test]
#[ignore = "takes minutes: every way to fail, at more places"]
fn a_process_that_dies_anywhere_at_a_pivot_loses_no_object_and_leaves_none_half_removed() {
    let (covered, missed) = run_all(removals(), 4);
    everything_is_covered(&covered, missed, 120, &REMOVAL_POINTS);
}

#[test]
#[ignore = "takes minutes: every way to fail, at more places"]
fn a_process_that_dies_anywhere_in_an_act_leaves_no_object_without_a_row() {
    let (covered, missed) = run_all(scenarios(), 4);
    let points = [&POINTS[..], &WORLD_POINTS[..]].concat();
    everything_is_covered(&covered, missed, 300, &points);
}
