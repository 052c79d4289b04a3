//! Runs the same random effects over cached rows and over rows that are read again each time, and over SQLite and the database in
//! memory: answers, changes and tables must be equal, whenever batches are committed.

mod act;
mod side;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use cairn_effects::effect::Change;
use cairn_model::error::TaskError;
use cairn_volumes::quota::QuotaConfig;

use super::*;
use crate::backend::Backend;
use act::{Act, Meddling, Race, act};
use side::Side;

/// Two databases, and the flows that change both.
struct World<B> {
    clock: Arc<ManualClock>,
    /// Writes every row at once, and reads it again when it is needed next.
    anew: Side<B>,
    /// Keeps rows in memory, and commits batches when the case says so.
    kept: Side<Database>,
    flows: Vec<(CallId, Identity)>,
}

/// Returns an answer without random values.
fn shown(answer: &Answer) -> Value {
    match answer {
        Answer::Reservations(ids) => json!(ids.len()),
        Answer::Volume(volume) => volume.clone(),
        Answer::Key(_) => json!("key"),
        Answer::Done => Value::Null,
    }
}

fn refused(error: &TaskError) -> Value {
    // The error names any one of several dependent rows, so it is compared by kind only.
    match error.kind.as_str() {
        "UndoRefused" | "VolumeInUse" => json!({"kind": error.kind}),
        _ => serde_json::to_value(error).unwrap(),
    }
}

/// Numbers ids in the order in which they are first seen.
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

impl<B: Backend> World<B> {
    fn new(
        quota: QuotaConfig,
        anew: impl FnOnce(&mut Side<Database>, &SqliteConfig, &Arc<ManualClock>) -> Side<B>,
    ) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp(1_000_000)));
        let config = any::config(Settings {
            quota,
            default_volume_type: Some("gold".to_owned()),
            ..Settings::default()
        });
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
        let mut kept = Side::on_sqlite(&config, &clock);
        Self {
            anew: anew(&mut kept, &config, &clock),
            kept,
            flows: flows.collect(),
            clock,
        }
    }

    /// Runs one act on both sides, and returns both outcomes.
    fn act(&mut self, act: &Act) -> Option<(Value, Value)> {
        let both = match act {
            Act::Effect(flow, wish, race) => {
                let at = usize::from(*flow);
                let anew = self.anew.effect(at, &self.flows[at], wish, Race::Never);
                (anew, self.kept.effect(at, &self.flows[at], wish, *race))
            }
            Act::Query(flow, look, race) => {
                let at = usize::from(*flow);
                let anew = self.anew.query(at, &self.flows[at], look, Race::Never);
                (anew, self.kept.query(at, &self.flows[at], look, *race))
            }
            Act::Undo(which, race) => {
                let anew = self.anew.undo(*which, &self.flows, Race::Never);
                (anew, self.kept.undo(*which, &self.flows, *race))
            }
            Act::Commit => {
                self.kept.commit();
                return None;
            }
            Act::Forget => {
                self.kept.forget();
                return None;
            }
            Act::Operator(_) => return None,
            Act::Later(by) => {
                self.clock.advance(Duration::from_millis((*by).into()));
                return None;
            }
        };
        self.anew.forget();
        Some(both)
    }
}

fn cases() -> u32 {
    let cases = std::env::var("PROPTEST_CASES").ok();
    cases.and_then(|cases| cases.parse().ok()).unwrap_or(2000)
}

/// Runs a case; fails where the two sides differ. `operate` makes changes that bypass the rules.
fn compare<B: Backend>(
    mut world: World<B>,
    acts: &[Act],
    operate: impl Fn(&mut World<B>, &Meddling),
) -> Result<(), TestCaseError> {
    let (mut anew_names, mut kept_names) = (Names::default(), Names::default());
    for (at, act) in acts.iter().enumerate() {
        if let Act::Operator(change) = act {
            operate(&mut world, change);
        }
        if let Some((anew, kept)) = world.act(act) {
            let anew = anew_names.plain(&anew.to_string());
            prop_assert_eq!(
                anew,
                kept_names.plain(&kept.to_string()),
                "{}: {:?}",
                at,
                act
            );
        }
    }
    let (anew, kept) = (world.anew.dump(), world.kept.dump());
    let anew: Vec<_> = anew.iter().map(|row| anew_names.plain(row)).collect();
    let kept: Vec<_> = kept.iter().map(|row| kept_names.plain(row)).collect();
    prop_assert_eq!(anew, kept);
    Ok(())
}

fn quota() -> impl Strategy<Value = QuotaConfig> {
    let parts = (0..4_i64, 0..2_u64, any::<bool>());
    parts.prop_map(
        |(until_refresh, max_age, no_snapshot_gigabytes)| QuotaConfig {
            until_refresh,
            max_age,
            no_snapshot_gigabytes,
            ..QuotaConfig::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_that_are_kept_and_rows_that_are_read_anew_come_to_the_same(
        acts in prop::collection::vec(act(), 1..60),
        quota in quota(),
    ) {
        let world = World::new(quota, |_, config, clock| Side::on_sqlite(config, clock));
        compare(world, &acts, |world, change| {
            world.anew.operate(change);
            world.kept.operate(change);
        })?;
    }

    #[test]
    fn sqlite_and_the_database_in_memory_come_to_the_same(
        acts in prop::collection::vec(act(), 1..60),
        quota in quota(),
    ) {
        let world = World::new(quota, Side::in_memory);
        compare(world, &acts, |world, change| {
            // Other operators' changes need SQL.
            if world.anew.operate(change) {
                world.kept.operate(change);
            }
        })?;
    }
}
