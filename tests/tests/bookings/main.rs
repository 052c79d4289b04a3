//! Checks that usages equal the booked volumes and snapshots, after any interleaving of operators and flows: runs
//! random sequences of changing commands, with flows that fail, are interrupted, or are killed, and checks the usages
//! after each.
//!
//! `PROPTEST_CASES` sets the number of sequences for each of the two properties.

mod plan;
mod regressions;
mod script;
mod world;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use plan::sequence;
use world::{Tally, World};

/// Sequences per property. With those of `every_kind_of_end_is_reached` there are more than 2,000.
const SEQUENCES: u32 = 1_000;

fn config() -> ProptestConfig {
    let set = std::env::var("PROPTEST_CASES").ok();
    ProptestConfig {
        cases: set
            .and_then(|cases| cases.parse().ok())
            .unwrap_or(SEQUENCES),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn usages_are_what_is_booked_in_any_order((ops, resumes) in sequence()) {
        let result = World::new(resumes).run(&ops);
        prop_assert!(result.is_ok(), "{}", result.unwrap_err());
    }

    // The same property, run in parallel on another core.
    #[test]
    fn usages_are_what_is_booked_in_any_other_order((ops, resumes) in sequence()) {
        let result = World::new(resumes).run(&ops);
        prop_assert!(result.is_ok(), "{}", result.unwrap_err());
    }
}

/// Uses fixed sequences, to show that the properties above reach every kind of end.
#[test]
fn every_kind_of_end_is_reached() {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    let mut tally = Tally::new();
    for _ in 0..300 {
        let (ops, resumes) = sequence().new_tree(&mut runner).unwrap().current();
        let mut world = World::new(resumes);
        world
            .run(&ops)
            .unwrap_or_else(|what| panic!("{ops:#?}\n{what}"));
        for (what, times) in world.tally {
            *tally.entry(what).or_default() += times;
        }
    }
    println!("{tally:#?}");
    for what in [
        "a process died",
        "a flow was rolled back whose volume was deleted",
        "create snapshot",
        "delete snapshot",
        "delete type: VolumeTypeInUse",
        "delete volume",
        "delete volume: FlowUnfinished",
        "delete volume: VolumeInUse",
        "flows pruned",
        "force type",
        "recover: FAILURE",
        "recover: SUCCESS",
        "resume: SUCCESS",
        "rollback: FAILURE",
        "run: FAILURE",
        "run: INTERRUPTED",
        "run: SUCCESS",
        "sync",
        "verdict: Clean",
        "verdict: Incomplete",
        "verdict: Kept",
        "verdict: Residue",
    ] {
        assert!(
            tally.contains_key(what),
            "no sequence came to `{what}`: {tally:#?}"
        );
    }
}
