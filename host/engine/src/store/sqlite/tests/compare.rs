//! The same random effects, through the statements of before and through rows: same answers, changes, and tables.

mod act;
mod side;

use proptest::prelude::*;

use super::super::rows::{self, Statements};
use super::super::tx;
use super::before;
use super::*;
use crate::effect::Change;
use crate::error::TaskError;
use crate::quota::QuotaConfig;
use crate::rows::{Draft, Overlay, Rows, Stop};
use crate::volumes;

use act::{Act, Look, Meddling, Race, Wish, act};
use side::Side;

/// Two databases, and what is known of them.
struct World {
    clock: Arc<ManualClock>,
    before: Side,
    now: Side,
    overlay: Overlay,
    statements: Statements,
    flows: Vec<(CallId, Identity)>,
}

/// An answer, without what is random.
fn shown(answer: &Answer) -> Value {
    match answer {
        Answer::Reservations(ids) => json!(ids.len()),
        Answer::Volume(volume) => volume.clone(),
        Answer::Key(_) => json!("key"),
        Answer::Done => Value::Null,
    }
}

fn refused(error: &TaskError) -> Value {
    // Which of several rows depends is not said, and 1 is true.
    match error.kind.as_str() {
        "UndoRefused" | "VolumeInUse" => json!({"kind": error.kind}),
        _ => serde_json::to_value(error).unwrap(),
    }
}

/// Gives each id a number, in the order in which they are first seen.
#[derive(Default)]
struct Names(Vec<String>);

impl Names {
    fn plain(&mut self, text: &str) -> String {
        let is_id = |word: &str| word.len() == 36 && word.parse::<uuid::Uuid>().is_ok();
        let mut plain = String::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(word) = rest.get(..36).filter(|word| is_id(word)) {
                let at = self.0.iter().position(|known| known == word);
                let at = at.unwrap_or_else(|| {
                    self.0.push(word.to_owned());
                    self.0.len() - 1
                });
                plain.push_str(&format!("#{at}"));
                rest = &rest[36..];
            } else {
                let next = rest.chars().next().unwrap();
                plain.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
        plain
    }
}

fn changes(changes: &[Change]) -> Value {
    let mut changes = serde_json::to_value(changes).unwrap();
    for change in changes.as_array_mut().unwrap() {
        if let Some(sealed) = change.pointer_mut("/row/before/sealed") {
            *sealed = Value::Null;
        }
    }
    changes
}

type Outcome = Result<(Value, Value, Vec<(&'static str, String)>), Value>;

impl World {
    fn new(quota: QuotaConfig) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp(1_000_000)));
        let config = SqliteConfig {
            quota,
            default_volume_type: Some("gold".to_owned()),
            ..SqliteConfig::default()
        };
        let who = [
            Identity::new("ann", "acme"),
            Identity::new("bob", "bolt"),
            Identity::new("ann", "acme"),
            Identity::new("root", "acme").into_admin(),
            Identity {
                quota_class: Some("cheap".to_owned()),
                ..Identity::new("eve", "acme")
            },
        ];
        let flows = who.into_iter().map(|who| {
            let call = CallId {
                flow: FlowId::new(),
                task: TaskId::new(),
                phase: Phase::Call,
                attempt: 1,
            };
            (call, who)
        });
        Self {
            before: Side::new(&config, &clock),
            now: Side::new(&config, &clock),
            overlay: Overlay::new(4096),
            statements: Statements::default(),
            flows: flows.collect(),
            clock,
        }
    }

    fn commit(&mut self) {
        let written = self.overlay.written();
        self.statements
            .write(&self.now.connection, &written)
            .unwrap();
        self.now
            .connection
            .execute(
                "INSERT INTO journal (flow, first, entries) VALUES (randomblob(16), 0, '[]')",
                [],
            )
            .unwrap();
        let mark = rows::mark(&self.now.connection).unwrap();
        self.overlay.committed(mark);
    }

    /// Runs rules over rows, fetching what is missing.
    fn run<T>(
        &mut self,
        flow: usize,
        race: Race,
        rules: impl Fn(&mut Rows<'_>, &Setup<'_>) -> Result<T, Stop>,
    ) -> (Result<T, TaskError>, crate::rows::Done) {
        let (call, who) = self.flows[flow].clone();
        let by = Caller {
            call: Some(call),
            requester: &who,
        };
        let mut draft = Draft::new(self.clock.now());
        loop {
            let rows = Rows::new(&mut self.overlay, &mut draft, by, &self.now.made[flow]);
            let (result, done) = rows.run(|rows| rules(rows, &self.now.env.setup()));
            match result {
                Ok(value) => return (Ok(value), done),
                Err(Stop::Refused(error)) => return (Err(error), done),
                Err(Stop::Missing) => {}
            }
            let fetching = self.overlay.begin_fetch();
            if matches!(race, Race::BeforeTheLook) {
                self.commit();
            }
            let fetched = rows::fetch(&self.now.connection, draft.take_wants()).unwrap();
            if matches!(race, Race::AfterTheLook) {
                self.commit();
            }
            assert!(self.overlay.is_current(&fetching));
            self.overlay.accept(&fetched);
            draft.answered(fetching, fetched);
        }
    }

    fn effect(&mut self, flow: usize, wish: &Wish, race: Race) -> (Outcome, Outcome) {
        let (call, who) = self.flows[flow].clone();
        let by = Caller {
            call: Some(call),
            requester: &who,
        };
        let effect = self.before.effect(wish);
        let (result, done, denied) = {
            let mut tx = before::Tx::new(&self.before.connection, &self.before.env, by);
            let result = before::apply(&mut tx, &effect);
            (result, tx.changes, tx.denied)
        };
        let old = match result {
            Ok(answer) => {
                let outcome = (shown(&answer), changes(&done), denied);
                self.before.note(flow, &answer, done);
                Ok(outcome)
            }
            Err(before::Fault::Refused(error)) => Err(json!([refused(&error), denied])),
            Err(before::Fault::Sqlite(error)) => panic!("{error}"),
        };
        let effect = self.now.effect(wish);
        let (result, done) = self.run(flow, race, |rows, setup| {
            volumes::apply(rows, setup, &effect)
        });
        let new = match result {
            Ok(answer) => {
                let outcome = (shown(&answer), changes(&done.changes), done.denied);
                self.now.note(flow, &answer, done.changes);
                Ok(outcome)
            }
            Err(error) => Err(json!([refused(&error), done.denied])),
        };
        (old, new)
    }

    fn query(&mut self, flow: usize, look: &Look, race: Race) -> (Value, Value) {
        let (call, who) = self.flows[flow].clone();
        let by = Caller {
            call: Some(call),
            requester: &who,
        };
        let query = self.before.query(look);
        let mut tx = before::Tx::new(&self.before.connection, &self.before.env, by);
        let old = match before::query(&mut tx, &query) {
            Ok(value) => json!([value, tx.denied]),
            Err(before::Fault::Refused(error)) => json!([refused(&error), tx.denied]),
            Err(before::Fault::Sqlite(error)) => panic!("{error}"),
        };
        let query = self.now.query(look);
        let (result, done) = self.run(flow, race, |rows, setup| {
            volumes::query(rows, setup, &query)
        });
        let new = match result {
            Ok(value) => json!([value, done.denied]),
            Err(error) => json!([refused(&error), done.denied]),
        };
        (old, new)
    }

    fn undo(&mut self, which: u8, race: Race) -> (Value, Value) {
        let number = self.before.applied.len();
        if number == 0 {
            return (Value::Null, Value::Null);
        }
        // The latest are undone more often.
        let at = number - 1 - usize::from(which % 4).min(number - 1);
        let (flow, changes) = self.before.applied.remove(at);
        let nobody = Identity::default();
        let by = Caller {
            call: Some(self.flows[flow].0),
            requester: &nobody,
        };
        let mut tx = before::Tx::new(&self.before.connection, &self.before.env, by);
        let undone = before::in_savepoint(&mut tx, |tx| {
            let inverses = changes.iter().rev().map(Change::inverse);
            inverses
                .into_iter()
                .try_for_each(|change| before::restore(tx, &change))
        });
        let old = match undone {
            Ok(()) => Value::Null,
            Err(before::Fault::Refused(error)) => refused(&error),
            Err(before::Fault::Sqlite(error)) => panic!("{error}"),
        };
        let (_, changes) = self.now.applied.remove(at);
        let (result, _) = self.run(flow, race, |rows, _| {
            let inverses = changes.iter().rev().map(Change::inverse);
            inverses
                .into_iter()
                .try_for_each(|change| volumes::restore(rows, &change))
        });
        let new = result.map_or_else(|error| refused(&error), |()| Value::Null);
        (old, new)
    }

    fn operate(&mut self, change: &Meddling) {
        self.commit();
        for side in [&self.before, &self.now] {
            tx::execute(&side.connection, &side.statement(change)).unwrap();
        }
        self.overlay.forget();
    }
}

fn cases() -> u32 {
    let cases = std::env::var("PROPTEST_CASES").ok();
    cases.and_then(|cases| cases.parse().ok()).unwrap_or(2000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_and_statements_come_to_the_same(
        acts in prop::collection::vec(act(), 1..60),
        until_refresh in 0..4_i64,
        max_age in 0..2_u64,
        no_snapshot_gigabytes in any::<bool>(),
    ) {
        let mut world = World::new(QuotaConfig { until_refresh, max_age, no_snapshot_gigabytes, ..QuotaConfig::default() });
        let (mut old_names, mut new_names) = (Names::default(), Names::default());
        for (at, act) in acts.iter().enumerate() {
            let (old, new) = match act {
                Act::Effect(flow, wish, race) => {
                    let (old, new) = world.effect(usize::from(*flow), wish, *race);
                    (format!("{old:?}"), format!("{new:?}"))
                }
                Act::Query(flow, look, race) => {
                    let (old, new) = world.query(usize::from(*flow), look, *race);
                    (old.to_string(), new.to_string())
                }
                Act::Undo(which, race) => {
                    let (old, new) = world.undo(*which, *race);
                    (old.to_string(), new.to_string())
                }
                Act::Commit => {
                    world.commit();
                    continue;
                }
                Act::Forget => {
                    world.commit();
                    world.overlay.forget();
                    continue;
                }
                Act::Operator(change) => {
                    world.operate(change);
                    continue;
                }
                Act::Later(by) => {
                    world.clock.advance(Duration::from_millis((*by).into()));
                    continue;
                }
            };
            prop_assert_eq!(old_names.plain(&old), new_names.plain(&new), "{}: {:?}", at, act);
        }
        world.commit();
        let old: Vec<_> = world.before.dump().iter().map(|row| old_names.plain(row)).collect();
        let new: Vec<_> = world.now.dump().iter().map(|row| new_names.plain(row)).collect();
        prop_assert_eq!(old, new);
    }
}
