//! Runs random flows concurrently: counts equal the rows, and undone changes leave nothing.

use std::collections::BTreeMap;

use cairn_effects::rows::Text;

use super::*;
use crate::rules::usage::Footprint;
use crate::rules::{Addition, Counter, Record, Usage};

const CONFIG: &str =
    "[records.c]\nmax_keys = 6\nmax_total = 60\n[records.c.counters.n]\nmin = -5\nmax = 20";

/// Numbers from a seed (xorshift64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Returns the published records: key -> value and version.
fn published(world: &World) -> BTreeMap<Text, (Text, i64)> {
    let records = world.rows::<Record>().into_iter();
    let published =
        records.filter_map(|record| Some((record.key, (record.value?.0, record.version))));
    published.collect()
}

fn check(world: &World, seed: u64) {
    let records = world.rows::<Record>();
    let (mut keys, mut bytes) = (0, 0);
    for record in &records {
        let footprint = Footprint::of(Some(record));
        keys += footprint.keys;
        bytes += footprint.bytes;
        assert!(
            record.value.is_some() || record.flow.is_some(),
            "seed {seed}: {record:?}"
        );
    }
    for usage in world.rows::<Usage>() {
        assert_eq!((usage.key_count, usage.bytes), (keys, bytes), "seed {seed}");
    }
    let additions = world.rows::<Addition>();
    let sum = |is_one: fn(i64) -> bool| {
        let deltas = additions.iter().map(|addition| addition.delta);
        deltas.filter(|delta| is_one(*delta)).sum::<i64>()
    };
    for counter in world.rows::<Counter>() {
        let pending = (sum(|delta| delta > 0), sum(|delta| delta < 0));
        assert_eq!(
            (counter.pending_up, counter.pending_down),
            pending,
            "seed {seed}"
        );
        assert!(
            counter.published() + pending.0 <= 20,
            "seed {seed}: {counter:?}"
        );
        assert!(
            counter.published() + pending.1 >= -5,
            "seed {seed}: {counter:?}"
        );
    }
}

fn take_back(world: &mut World, flow: &mut Flow, seed: u64) {
    world
        .undo_last(flow)
        .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
}

fn holds_any(world: &World, flow: &Flow) -> bool {
    let mut records = world.rows::<Record>().into_iter();
    records.any(|record| record.flow == Some(flow.id))
}

/// Runs random steps of three flows, each of which finally succeeds or is rolled back.
fn run(seed: u64) {
    let mut dice = Dice(seed);
    let mut world = World::new(CONFIG);
    let mut flows: Vec<Flow> = (0..3).map(|_| Flow::of("acme")).collect();
    for _ in 0..150 {
        let at = dice.roll(3) as usize;
        let key = format!("k{}", dice.roll(8));
        let flow = &mut flows[at];
        // A refusal is a valid outcome, and must change nothing.
        match dice.roll(10) {
            0..4 => drop(world.put(flow, &key, "v".repeat(dice.roll(14) as usize))),
            4 | 5 => drop(world.remove(flow, &key)),
            6 | 7 => drop(world.apply(flow, &add(dice.roll(13) as i64 - 6))),
            8 => {
                // Undoes some of its changes, or all.
                let is_over = dice.roll(2) == 0;
                let before = published(&world);
                while flow.has_changes() && (is_over || dice.roll(3) > 0) {
                    take_back(&mut world, flow, seed);
                }
                assert_eq!(
                    published(&world),
                    before,
                    "seed {seed}: nothing was published"
                );
                if !flow.has_changes() {
                    assert!(!holds_any(&world, flow), "seed {seed}");
                    world.end(flow, FlowState::Failure, &[]);
                    *flow = Flow::of("acme");
                }
            }
            _ => {
                let before = published(&world);
                world.succeed(flow);
                if dice.roll(2) == 0 {
                    while flow.has_changes() {
                        take_back(&mut world, flow, seed);
                    }
                    assert_eq!(
                        published(&world),
                        before,
                        "seed {seed}: a rollback after success"
                    );
                }
                assert!(!holds_any(&world, flow), "seed {seed}");
                *flow = Flow::of("acme");
            }
        }
        check(&world, seed);
    }
    for flow in &flows {
        world.succeed(flow);
    }
    check(&world, seed);
    assert!(
        world
            .rows::<Record>()
            .iter()
            .all(|record| record.flow.is_none()),
        "seed {seed}"
    );
    assert!(world.rows::<Addition>().is_empty(), "seed {seed}");
}

#[test]
fn what_is_counted_is_what_is_there_whatever_flows_do() {
    for seed in 1..=300 {
        run(seed);
    }
}
