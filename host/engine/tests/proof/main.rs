//! The proof that a rollback leaves nothing behind. Random flows run concurrently on one store and fail anywhere; at the end
//! the tables must hold what the successful flows alone would have left, and besides only what the reports of the others name.
//!
//! `PROPTEST_CASES` sets the number of cases.

mod actor;
#[path = "../../../volumes/testing/any.rs"]
mod any;
mod books;
mod journal;
mod judge;
mod known;
mod place;
mod plan;
mod recorder;
mod records;
mod reference;
mod regressions;
mod reverts;
mod stage;
mod step;
mod tally;
mod world;

use cairn::flow::Recovery;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use place::Kind;
use plan::{Case, case};
use tally::Tally;
use world::World;

/// Returns a configuration with this number of cases, unless `PROPTEST_CASES` is set.
fn config(cases: u32) -> ProptestConfig {
    let set = std::env::var("PROPTEST_CASES").ok();
    ProptestConfig {
        cases: set.and_then(|cases| cases.parse().ok()).unwrap_or(cases),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Runs a case to its end.
fn run(case: &Case) -> Result<Tally, String> {
    let mut world = World::new(case, Kind::Sqlite);
    let ended = world.run(Vec::new());
    world.judge(&ended)
}

/// Runs a case, then recovers it from each crash, and from crashes during that recovery.
fn run_with_crashes(
    case: &Case,
    crashes: &[(usize, usize, bool)],
    kind: Kind,
) -> Result<Tally, String> {
    let mut world = World::new(case, kind);
    let live = world.run(crashes.iter().map(|(first, ..)| *first).collect());
    let mut tally = world.judge(&live)?;
    for crash in &live.crashes {
        let (_, second, resumes) = crashes[tally.crashes % crashes.len()];
        let how = if resumes {
            Recovery::Resume
        } else {
            Recovery::Rollback
        };
        let told = |what| format!("{how:?} of {:?}: {what}", crash.place);
        let once = world.recover(crash, how, vec![second]);
        tally += world.judge(&once).map_err(told)?;
        tally.crashes += 1;
        for crash in &once.crashes {
            let twice = world.recover(crash, how, Vec::new());
            tally += world
                .judge(&twice)
                .map_err(|what| told(format!("again: {what}")))?;
            tally.crashes += 1;
        }
    }
    Ok(tally)
}

fn crashes() -> impl Strategy<Value = Vec<(usize, usize, bool)>> {
    prop::collection::vec((1..160_usize, 1..30_usize, any::<bool>()), 1..4)
}

proptest! {
    #![proptest_config(config(250))]

    #[test]
    fn a_rollback_leaves_what_its_report_says_and_nothing_else(case in case()) {
        let result = run(&case);
        prop_assert!(result.is_ok(), "{}", result.unwrap_err());
    }
}

proptest! {
    #![proptest_config(config(120))]

    #[test]
    fn a_crash_anywhere_changes_nothing_about_that(case in case(), crashes in crashes()) {
        let result = run_with_crashes(&case, &crashes, Kind::Sqlite);
        prop_assert!(result.is_ok(), "{}", result.unwrap_err());
    }
}

/// Runs this many cases with crashes, the same ones every time.
fn same_cases(count: usize, kind: Kind) -> Tally {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    let mut tally = Tally::default();
    for _ in 0..count {
        let (case, crashes) = (case(), crashes()).new_tree(&mut runner).unwrap().current();
        tally += run_with_crashes(&case, &crashes, kind)
            .unwrap_or_else(|what| panic!("{case:?}\n{what}"));
    }
    println!("{tally}");
    tally
}

fn every_class_is_reached(tally: &Tally) {
    for (class, count) in tally.classes() {
        assert!(count > 0, "no case came to `{class}`:\n{tally}");
    }
}

/// Uses the same cases every time: the properties above are worth only the ends that they reach.
#[test]
fn every_kind_of_end_is_reached() {
    every_class_is_reached(&same_cases(300, Kind::Sqlite));
}

#[test]
fn a_crash_changes_nothing_on_postgresql_either() {
    if cairn_test_postgres::shared().is_none() {
        return;
    }
    let tally = same_cases(20, Kind::Postgres);
    assert!(tally.crashes > 10 && tally.succeeded > 0, "{tally}");
}

#[test]
#[ignore = "takes minutes: the same 300 cases as on SQLite"]
fn every_kind_of_end_is_reached_on_postgresql() {
    if cairn_test_postgres::shared().is_none() {
        return;
    }
    every_class_is_reached(&same_cases(300, Kind::Postgres));
}
