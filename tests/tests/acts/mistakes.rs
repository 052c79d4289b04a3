//! Known mistakes, made on purpose: the judgement of the matrix notices each.

use acceptance::acts::{Death, Fault, Faults, Mistake};

use super::{End, Lives, Scenario};

/// Returns the first violation in the lives of a scenario: without a death, then with a death at each of these points in a first life
/// that is followed by a recovery.
fn violation(scenario: &Scenario, points: &[&str]) -> Option<String> {
    let deaths = points.iter().map(|point| {
        Some(Death {
            point: (*point).to_owned(),
            time: 1,
        })
    });
    for death in std::iter::once(None).chain(deaths) {
        if let Err(error) = lives(scenario, death.as_ref()) {
            return Some(format!("{error:#}"));
        }
    }
    None
}

fn lives(scenario: &Scenario, death: Option<&Death>) -> anyhow::Result<()> {
    let mut lives = Lives::new(scenario);
    let end = lives.run(death)?;
    let died = matches!(end, End::Death);
    assert_eq!(died, death.is_some(), "{scenario:?}: {death:?}");
    if died {
        lives.recover(None)?;
    }
    lives.end().map(drop)
}

/// Checks that a mistake is noticed with these words, and that the same lives without it are in order.
#[track_caller]
fn is_noticed(mistake: Mistake, scenario: Scenario, points: &[&str], words: &str) {
    let scenario = Scenario {
        mistake: Some(mistake),
        ..scenario
    };
    let noticed = violation(&scenario, points).unwrap_or_default();
    assert!(noticed.contains(words), "{mistake:?}: {noticed:?}");
    let right = Scenario {
        mistake: None,
        ..scenario
    };
    // Some points are those of the mistake.
    let points: Vec<&str> = points
        .iter()
        .copied()
        .filter(|point| *point != "RowRemoved")
        .collect();
    assert_eq!(violation(&right, &points), None, "without {mistake:?}");
}

fn fails() -> Scenario {
    Scenario {
        fails: true,
        ..Scenario::default()
    }
}

#[test]
fn an_object_that_is_made_before_its_intent_is_noticed() {
    let points = ["MakeBegun", "ObjectWhole"];
    is_noticed(Mistake::ActBeforeIntent, fails(), &points, "has no row");
}

#[test]
fn an_answer_that_does_not_know_and_is_taken_for_a_refusal_is_noticed() {
    let scenario = Scenario {
        faults: Faults {
            makes: vec![Fault::UnsureAfter],
            ..Faults::default()
        },
        ..Scenario::default()
    };
    is_noticed(Mistake::UnsureIsRefused, scenario, &[], "has no row");
}

#[test]
fn an_object_whose_row_is_undone_and_that_stays_is_noticed() {
    is_noticed(Mistake::ObjectLeft, fails(), &[], "has no row");
}

#[test]
fn a_row_that_is_removed_before_its_object_is_noticed() {
    is_noticed(Mistake::RowFirst, fails(), &["RowRemoved"], "has no row");
}

#[test]
fn an_object_that_is_made_in_place_is_noticed() {
    let scenario = Scenario {
        faults: Faults {
            makes: vec![Fault::UnsureWithin],
            ..Faults::default()
        },
        ..Scenario::default()
    };
    is_noticed(Mistake::InPlace, scenario, &[], "not whole");
}
