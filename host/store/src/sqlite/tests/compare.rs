//! The same random effects over rows that stay in memory and over rows that are read anew each time: same answers, changes, and tables,
//! whenever batches are committed.

mod act;
mod side;

use proptest::prelude::*;

use cairn_effects::effect::Change;
use cairn_model::error::TaskError;
use cairn_model::quota::QuotaConfig;

use super::*;
use act::{Act, Race, act};
use side::Side;

/// Two databases, and the flows that work on both.
struct World {
    clock: Arc<ManualClock>,
    /// Every row is written at once, and read anew when it is needed next.
    anew: Side,
    /// Rows stay in memory; batches are written when the case says so.
    kept: Side,
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
    // Which of several rows depends is not said.
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
            anew: Side::new(&config, &clock),
            kept: Side::new(&config, &clock),
            flows: flows.collect(),
            clock,
        }
    }

    /// Does one act on both sides, and says what came of it.
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
            Act::Operator(change) => {
                self.anew.operate(change);
                self.kept.operate(change);
                return None;
            }
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

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_that_are_kept_and_rows_that_are_read_anew_come_to_the_same(
        acts in prop::collection::vec(act(), 1..60),
        until_refresh in 0..4_i64,
        max_age in 0..2_u64,
        no_snapshot_gigabytes in any::<bool>(),
    ) {
        let mut world = World::new(QuotaConfig { until_refresh, max_age, no_snapshot_gigabytes, ..QuotaConfig::default() });
        let (mut anew_names, mut kept_names) = (Names::default(), Names::default());
        for (at, act) in acts.iter().enumerate() {
            if let Some((anew, kept)) = world.act(act) {
                prop_assert_eq!(anew_names.plain(&anew.to_string()), kept_names.plain(&kept.to_string()), "{}: {:?}", at, act);
            }
        }
        world.kept.commit();
        let anew: Vec<_> = world.anew.dump().iter().map(|row| anew_names.plain(row)).collect();
        let kept: Vec<_> = world.kept.dump().iter().map(|row| kept_names.plain(row)).collect();
        prop_assert_eq!(anew, kept);
    }
}
