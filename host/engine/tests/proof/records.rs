//! Records, counters and sequences: random flows share a collection, run concurrently, fail anywhere, keep changes, and are rolled back
//! after success. The tables must hold the results of the successful flows alone, and besides only the changes that reports list.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use cairn::clock::SystemClock;
use cairn::error::Cause;
use cairn::event::{Disposition, FlowState};
use cairn::records::{CounterAdd, Expect, RecordPut, RecordRemove, SequenceNext, Settings};
use cairn::{Context, Domains, FlowError, Report, Sqlite, SqliteConfig, TaskError, Value, Verdict};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use serde_json::json;

use crate::stage::Stage;
use crate::step::{Step, flow, once};
use crate::{config, world};

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];

#[derive(Clone, Copy, Debug)]
enum Act {
    Put(usize),
    Remove(usize),
    Add(i64),
    Next,
}

#[derive(Clone, Debug)]
struct TaskPlan {
    acts: Vec<Act>,
    /// Fails after this many acts.
    fails: Option<usize>,
    keep: bool,
}

#[derive(Clone, Debug)]
struct FlowPlan {
    tasks: Vec<TaskPlan>,
    /// Rolled back by hand at its end.
    again: bool,
}

#[derive(Clone, Debug)]
struct Case {
    flows: Vec<FlowPlan>,
    turns: Vec<u8>,
}

fn case() -> impl Strategy<Value = Case> {
    let act = prop_oneof![
        4 => (0..KEYS.len()).prop_map(Act::Put),
        2 => (0..KEYS.len()).prop_map(Act::Remove),
        2 => (-3..4_i64).prop_map(Act::Add),
        1 => Just(Act::Next),
    ];
    let acts = prop::collection::vec(act, 0..5);
    let fails = prop::option::weighted(0.2, 0..5_usize);
    let task = (acts, fails, prop::bool::weighted(0.1)).prop_map(|(acts, fails, keep)| TaskPlan {
        acts,
        fails,
        keep,
    });
    let flow = (
        prop::collection::vec(task, 1..4),
        prop::bool::weighted(0.15),
    )
        .prop_map(|(tasks, again)| FlowPlan { tasks, again });
    let turns = prop::collection::vec(any::<u8>(), 0..80);
    (prop::collection::vec(flow, 1..7), turns).prop_map(|(flows, turns)| Case { flows, turns })
}

/// One act that was not refused.
struct Done {
    flow: usize,
    act: Act,
    value: Value,
    /// The version of the value, or the number.
    answer: Option<u64>,
}

#[derive(Default)]
struct Log {
    done: Vec<Done>,
    refusals: BTreeSet<String>,
    /// Flows that succeeded, in the order of their ends.
    succeeded: Vec<usize>,
}

fn perform(context: &Arc<dyn Context>, act: Act, value: &Value) -> Result<Option<u64>, TaskError> {
    let collection = "c".to_owned();
    let key = |key: usize| KEYS[key].to_owned();
    match act {
        Act::Put(at) => {
            let (key, value, expect) = (key(at), value.clone(), Expect::Any);
            let put = RecordPut {
                collection,
                key,
                value,
                expect,
            };
            context.apply(&put).map(Some)
        }
        Act::Remove(at) => {
            let (key, expect) = (key(at), Expect::Any);
            context
                .apply(&RecordRemove {
                    collection,
                    key,
                    expect,
                })
                .map(|()| None)
        }
        Act::Add(delta) => {
            let counter = "n".to_owned();
            context
                .apply(&CounterAdd {
                    collection,
                    counter,
                    delta,
                })
                .map(|()| None)
        }
        Act::Next => {
            let sequence = "s".to_owned();
            context
                .apply(&SequenceNext {
                    collection,
                    sequence,
                })
                .map(Some)
        }
    }
}

fn open(path: &Path, bounds: &str) -> Arc<Sqlite> {
    let text = format!("[records.c]\nsequences = ['s']\n[records.c.counters.n]\n{bounds}");
    let settings = Settings::parse(&text, Path::new("cairn.toml")).unwrap();
    let config = SqliteConfig {
        domains: Domains::new([cairn::records::domain(settings)]).unwrap(),
        ..SqliteConfig::default()
    };
    Arc::new(Sqlite::open(path, config, Arc::new(SystemClock)).unwrap())
}

fn task(at: (usize, usize), plan: TaskPlan, stage: &Arc<Stage>, log: &Arc<Mutex<Log>>) -> Step {
    let (stage, log, keep) = (Arc::clone(stage), Arc::clone(log), plan.keep);
    let call = move |context: &Arc<dyn Context>| {
        for (number, act) in plan
            .acts
            .iter()
            .enumerate()
            .take(plan.fails.unwrap_or(usize::MAX))
        {
            stage.pause(at.0);
            let value = json!([at.0, at.1, number]);
            let answer = perform(context, *act, &value);
            let mut log = log.lock().unwrap();
            match answer {
                Ok(answer) => log.done.push(Done {
                    flow: at.0,
                    act: *act,
                    value,
                    answer,
                }),
                Err(error) => drop(log.refusals.insert(error.kind)),
            }
        }
        stage.pause(at.0);
        match plan.fails {
            Some(_) => Err(TaskError::new("Broken", "it broke")),
            None => Ok(()),
        }
    };
    let answer = if keep {
        Disposition::Keep
    } else {
        Disposition::Undo
    };
    Step::new(&format!("task-{}", at.1), call).revert(move |_| Ok(answer))
}

/// The tables of a database without flows that run.
#[derive(Debug)]
struct Tables {
    records: BTreeMap<String, String>,
    counter: i64,
    /// The last number of the sequence.
    given: i64,
    /// Held keys and pending additions.
    pending: i64,
    /// The difference between the usage and the records that it sums up.
    drift: i64,
}

fn tables(path: &Path) -> Tables {
    let database = rusqlite::Connection::open(path).unwrap();
    let number = |select: &str| -> i64 {
        let sql = format!("SELECT COALESCE(({select}), 0)");
        database.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    let mut records = database
        .prepare("SELECT key, value FROM records WHERE value IS NOT NULL")
        .unwrap();
    let records = records.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    Tables {
        records: records.unwrap().map(Result::unwrap).collect(),
        counter: number("SELECT number FROM record_counters"),
        given: number("SELECT given FROM record_sequences"),
        pending: number("SELECT COUNT(*) FROM records WHERE flow IS NOT NULL")
            + number("SELECT COUNT(*) FROM record_additions")
            + number("SELECT pending_up - pending_down FROM record_counters"),
        drift: number("SELECT key_count FROM record_usages")
            - number("SELECT COUNT(*) FROM records")
            + number("SELECT bytes FROM record_usages")
            - number("SELECT SUM(LENGTH(value)) FROM records"),
    }
}

/// Runs a case, and returns the kinds of its flows' ends and of the refusals.
fn run(case: &Case) -> Result<BTreeSet<String>, String> {
    let folder = world::scratch();
    let (live, alone) = (folder.path().join("live"), folder.path().join("alone"));
    let store = open(&live, "min = -4\nmax = 4");
    let (stage, log) = (
        Arc::new(Stage::new(case.flows.len())),
        Arc::new(Mutex::new(Log::default())),
    );
    let flows = case.flows.iter().enumerate().map(|(index, plan)| {
        let tasks = plan.tasks.iter().cloned().enumerate();
        flow(
            &store,
            tasks.map(|(at, plan)| once(task((index, at), plan, &stage, &log))),
        )
    });
    let flows: Vec<_> = flows.collect();
    std::thread::scope(|scope| {
        for (index, flow) in flows.iter().enumerate() {
            let (stage, log, again) = (&stage, &log, case.flows[index].again);
            scope.spawn(move || {
                let _presence = stage.enter(index);
                match flow.run() {
                    Ok(()) => log.lock().unwrap().succeeded.push(index),
                    Err(FlowError::Failed(_)) => {}
                    Err(error) => panic!("flow {index}: {error}"),
                }
                if again {
                    stage.pause(index);
                    flow.rollback(&Cause::requested("by hand")).unwrap();
                }
            });
        }
        stage.direct(&case.turns);
    });

    let mut ends = BTreeSet::new();
    let (mut listed, mut added) = (BTreeSet::new(), 0);
    for (index, flow) in flows.iter().enumerate() {
        let Some(rollback) = Report::new(flow.id(), &flow.history()).rollback else {
            ends.insert("success".to_owned());
            continue;
        };
        let expected = match (rollback.failed.is_empty(), rollback.residue.is_empty()) {
            (false, _) => Verdict::Incomplete,
            (true, false) => Verdict::Kept,
            (true, true) => Verdict::Clean,
        };
        if rollback.verdict != expected {
            return Err(format!("flow {index}: the verdict is wrong: {rollback:?}"));
        }
        ends.insert(expected.as_str().to_owned());
        for left in rollback.residue {
            match &*left.kind {
                "record" => drop(listed.insert(left.id.rsplit('/').next().unwrap().to_owned())),
                "counter" if left.id.ends_with(".number") => added += left.after.as_i64().unwrap(),
                _ => {}
            }
        }
    }
    let log = std::mem::take(&mut *log.lock().unwrap());
    let succeeded = log.succeeded.iter().copied();
    let succeeded = succeeded.filter(|index| flows[*index].state() == FlowState::Success);
    replay(&alone, &log.done, succeeded.collect());
    drop((flows, store));
    let (found, expected) = (tables(&live), tables(&alone));

    let told = |what: &str| {
        Err(format!(
            "{what}: {found:?}, should be {expected:?}; listed are {listed:?} and {added}"
        ))
    };
    let differs = |key: &str| found.records.get(key) != expected.records.get(key);
    if KEYS
        .iter()
        .any(|key| differs(key) && !listed.contains(*key))
    {
        return told("a record is wrong");
    }
    if found.counter != expected.counter + added {
        return told("the counter is wrong");
    }
    if !ends.contains("incomplete") && (found.pending, found.drift) != (0, 0) {
        return told("something is pending after the last end, or the usage is wrong");
    }
    let numbers = |wanted: fn(&Act) -> bool| -> Vec<u64> {
        let done = log.done.iter().filter(|done| wanted(&done.act));
        done.filter_map(|done| done.answer).collect()
    };
    let given = numbers(|act| matches!(act, Act::Next));
    if !given.is_sorted_by(|a, b| a < b) || given.last().copied().unwrap_or(0) != found.given as u64
    {
        return told("a number was given twice");
    }
    let versions = numbers(|act| matches!(act, Act::Put(_)));
    if versions.iter().collect::<BTreeSet<_>>().len() != versions.len() {
        return told("a version was used twice");
    }
    ends.extend(log.refusals);
    Ok(ends)
}

/// Repeats the acts of these flows alone, one flow after another.
fn replay(database: &Path, done: &[Done], flows: Vec<usize>) {
    let store = open(database, "");
    for index in flows {
        let of_flow = done.iter().filter(|done| done.flow == index);
        let acts: Vec<_> = of_flow.map(|done| (done.act, done.value.clone())).collect();
        let all = Step::new("all", move |context| {
            for (act, value) in &acts {
                match perform(context, *act, value) {
                    // Removed in the run, but put there by a flow that is not repeated.
                    Err(error) if error.kind == "RecordNotFound" => {}
                    answer => drop(answer?),
                }
            }
            Ok(())
        });
        flow(&store, [once(all)]).run().unwrap();
    }
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn records_and_counters_are_those_of_the_successful_flows_and_of_the_reports(case in case()) {
        let result = run(&case);
        prop_assert!(result.is_ok(), "{}", result.unwrap_err());
    }
}

#[test]
fn every_kind_of_end_of_flows_with_records_is_reached() {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    let mut ends = BTreeSet::new();
    for _ in 0..150 {
        let case = case().new_tree(&mut runner).unwrap().current();
        ends.extend(run(&case).unwrap_or_else(|what| panic!("{case:?}\n{what}")));
    }
    let expected = "Bounds Busy RecordNotFound clean incomplete kept success";
    assert_eq!(ends.into_iter().collect::<Vec<_>>().join(" "), expected);
}
