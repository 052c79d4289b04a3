//! The same random effects, through the statements of before and through rows: same answers, changes, and tables.

use proptest::prelude::*;
use rusqlite::Connection;

use super::super::rows::{self, Statements};
use super::super::{open, tx};
use super::before;
use super::*;
use crate::effect::{Change, KeyCopy, KeyCreate, KeyDelete};
use crate::error::TaskError;
use crate::quota::QuotaConfig;
use crate::rows::{Draft, Made, Overlay, Rows, Stop};
use crate::volumes::{self, row_id};

/// One thing that happens. Small numbers choose among what is there.
#[derive(Clone, Debug)]
enum Act {
    Effect(u8, Wish, Race),
    Query(u8, Look, Race),
    Undo(u8, Race),
    /// The open batch is committed.
    Commit,
    /// Another process has written, or might have.
    Forget,
    Operator(Change1),
    Later(u16),
}

/// What is asked.
#[derive(Clone, Debug)]
enum Wish {
    Reserve(Vec<(u8, i8)>, bool),
    Close(u8, bool, bool),
    Create(u8, u8),
    Update(u8, u8),
    Destroy(u8),
    Key(u8, u8),
    Cast,
}

#[derive(Clone, Debug)]
enum Look {
    Volume(u8),
    Snapshot(u8),
    Type(u8),
    Image(u8),
    Zone(u8),
    Reserved(u8),
}

/// What an operator does past the rules.
#[derive(Clone, Debug)]
enum Change1 {
    Delete(u8),
    Snapshot(u8, bool),
    Lapse(u8),
    ForgetUsages,
    Limit(u8, i8),
    DeleteType(u8),
    MoveUsage(u8, i8),
    Zone(u8),
    TakeMessage,
}

/// When the open batch is committed while rows are fetched.
#[derive(Clone, Copy, Debug)]
enum Race {
    Never,
    BeforeTheLook,
    AfterTheLook,
}

const RESOURCES: [&str; 6] = [
    "volumes",
    "gigabytes",
    "snapshots",
    "volumes_gold",
    "gigabytes_gold",
    "nothing",
];
const TYPES: [&str; 3] = ["type-gold", "type-old", "type-none"];

fn act() -> impl Strategy<Value = Act> {
    let race = prop_oneof![
        4 => Just(Race::Never),
        1 => Just(Race::BeforeTheLook),
        1 => Just(Race::AfterTheLook),
    ];
    let wish = prop_oneof![
        4 => (prop::collection::vec((0..6_u8, -3..6_i8), 1..3), prop::bool::weighted(0.1)).prop_map(|(deltas, other)| Wish::Reserve(deltas, other)),
        4 => (any::<u8>(), prop::bool::weighted(0.7), prop::bool::weighted(0.1)).prop_map(|(which, commit, other)| Wish::Close(which, commit, other)),
        4 => (any::<u8>(), any::<u8>()).prop_map(|(from, kind)| Wish::Create(from, kind)),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(which, to)| Wish::Update(which, to)),
        3 => any::<u8>().prop_map(Wish::Destroy),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(which, kind)| Wish::Key(which, kind)),
        1 => Just(Wish::Cast),
    ];
    let look = prop_oneof![
        any::<u8>().prop_map(Look::Volume),
        any::<u8>().prop_map(Look::Snapshot),
        any::<u8>().prop_map(Look::Type),
        any::<u8>().prop_map(Look::Image),
        any::<u8>().prop_map(Look::Zone),
        any::<u8>().prop_map(Look::Reserved),
    ];
    let operator = prop_oneof![
        any::<u8>().prop_map(Change1::Delete),
        (any::<u8>(), any::<bool>()).prop_map(|(which, known)| Change1::Snapshot(which, known)),
        any::<u8>().prop_map(Change1::Lapse),
        Just(Change1::ForgetUsages),
        (any::<u8>(), -1..9_i8).prop_map(|(which, limit)| Change1::Limit(which, limit)),
        any::<u8>().prop_map(Change1::DeleteType),
        (any::<u8>(), any::<i8>()).prop_map(|(which, by)| Change1::MoveUsage(which, by)),
        any::<u8>().prop_map(Change1::Zone),
        Just(Change1::TakeMessage),
    ];
    prop_oneof![
        12 => (0..5_u8, wish, race.clone()).prop_map(|(flow, wish, race)| Act::Effect(flow, wish, race)),
        2 => (0..5_u8, look, race.clone()).prop_map(|(flow, look, race)| Act::Query(flow, look, race)),
        5 => (any::<u8>(), race).prop_map(|(which, race)| Act::Undo(which, race)),
        3 => Just(Act::Commit),
        1 => Just(Act::Forget),
        2 => operator.prop_map(Act::Operator),
        1 => any::<u16>().prop_map(Act::Later),
    ]
}

/// Two databases, and what is known of them.
struct World {
    clock: Arc<ManualClock>,
    before: Side,
    now: Side,
    overlay: Overlay,
    statements: Statements,
    flows: Vec<(CallId, Identity)>,
}

/// One of the two: ids that it gave out in order, effects that it applied and did not undo.
struct Side {
    connection: Connection,
    env: Env,
    volumes: Vec<String>,
    reservations: Vec<String>,
    keys: Vec<String>,
    applied: Vec<(usize, Vec<Change>)>,
    made: Vec<Made>,
}

fn pick<'a>(ids: &'a [String], which: u8, unknown: &'a str) -> &'a str {
    // Now and then one that is not there.
    match ids.len() {
        0 => unknown,
        number if usize::from(which) % (number + 1) == number => unknown,
        number => &ids[usize::from(which) % (number + 1)],
    }
}

impl Side {
    fn new(config: &SqliteConfig, clock: &Arc<ManualClock>) -> Self {
        let connection = open::in_memory().unwrap();
        connection
            .execute_batch(
                "INSERT INTO volume_types (id, name, deleted) VALUES ('type-gold', 'gold', 0), ('type-old', 'old', 1);
                 INSERT INTO images (id, project_id, size, created_at) VALUES ('image-0', NULL, 1, 0), ('image-1', 'bolt', 1, 0);
                 INSERT INTO volumes (id, project_id, user_id, size, status, created_at) VALUES ('there-0', 'acme', 'u', 3, 'available', 0),
                     ('there-1', 'bolt', 'u', 3, 'available', 0);
                 INSERT INTO quota_classes (class_name, resource, hard_limit) VALUES ('default', 'volumes', 7), ('cheap', 'gigabytes', 5);
                 BEGIN;",
            )
            .unwrap();
        let there = ["there-0", "there-1"].map(str::to_owned);
        Self {
            connection,
            env: Env::new(config.clone(), Arc::clone(clock) as _),
            volumes: there.to_vec(),
            reservations: Vec::new(),
            keys: Vec::new(),
            applied: Vec::new(),
            made: (0..5).map(|_| Made::new()).collect(),
        }
    }

    fn effect(&self, wish: &Wish) -> Effect {
        let project = |other: bool| other.then(|| "bolt".to_owned());
        let volume = |which| pick(&self.volumes, which, "no-volume").to_owned();
        match wish {
            Wish::Reserve(deltas, other) => Effect::QuotaReserve(QuotaReserve {
                project: project(*other),
                deltas: deltas
                    .iter()
                    .map(|(name, delta)| {
                        // Seldom one that is not there.
                        let name = if *name == 5 && *delta > 0 { 0 } else { *name };
                        (RESOURCES[usize::from(name)].to_owned(), i64::from(*delta))
                    })
                    .collect(),
                expiry: Expiry::Default,
            }),
            Wish::Close(which, commit, other) => {
                let last = self
                    .reservations
                    .len()
                    .saturating_sub(usize::from(which % 4));
                let from = last.saturating_sub(2);
                let mut reservations = self.reservations[from..last].to_vec();
                reservations.push(pick(&self.reservations, *which, "no-reservation").to_owned());
                let project = project(*other);
                match commit {
                    true => Effect::QuotaCommit(QuotaCommit {
                        reservations,
                        project,
                    }),
                    false => Effect::QuotaRollback(crate::effect::QuotaRollback {
                        reservations,
                        project,
                    }),
                }
            }
            Wish::Create(from, kind) => {
                let mut properties =
                    json!({"size": 1 + kind % 3, "status": "creating", "metadata": {"k": "v"}});
                match from % 8 {
                    0 => properties["source_volid"] = volume(*kind).into(),
                    1 => {
                        properties["encryption_key_id"] = pick(&self.keys, *kind, "no-key").into();
                    }
                    2 => properties["volume_type_id"] = TYPES[usize::from(kind % 3)].into(),
                    3 => properties["size"] = json!("big"),
                    4 => properties["snapshot_id"] = format!("snapshot-{}", kind % 4).into(),
                    _ => {}
                }
                Effect::VolumeCreate(VolumeCreate {
                    properties: properties.as_object().cloned().unwrap(),
                })
            }
            Wish::Update(which, to) => {
                let changes = match to % 5 {
                    0 => json!({"status": "error"}),
                    1 => json!({"status": "available", "host": "h"}),
                    2 => json!({"host": null, "scheduled_at": "now"}),
                    3 => json!({}),
                    _ => json!({"size": 3}),
                };
                Effect::VolumeUpdate(VolumeUpdate {
                    id: volume(*which),
                    changes: changes.as_object().cloned().unwrap(),
                })
            }
            Wish::Destroy(which) => Effect::VolumeDestroy(VolumeDestroy { id: volume(*which) }),
            Wish::Key(which, kind) => {
                let id = pick(&self.keys, *which, "no-key").to_owned();
                match kind % 3 {
                    0 => Effect::KeyCreate(KeyCreate),
                    1 => Effect::KeyCopy(KeyCopy { id }),
                    _ => Effect::KeyDelete(KeyDelete { id }),
                }
            }
            Wish::Cast => Effect::Cast(Cast {
                topic: "t".to_owned(),
                method: "m".to_owned(),
                arguments: json!({"a": 1}),
            }),
        }
    }

    fn query(&self, look: &Look) -> Query {
        match look {
            Look::Volume(which) => {
                Query::Volume(pick(&self.volumes, *which, "no-volume").to_owned())
            }
            Look::Snapshot(which) => Query::Snapshot(format!("snapshot-{}", which % 4)),
            Look::Type(which) => match which % 5 {
                0 => Query::VolumeType("gold".to_owned()),
                1 => Query::VolumeType("type-old".to_owned()),
                2 => Query::VolumeTypeName("type-old".to_owned()),
                3 => Query::QosSpecs("type-gold".to_owned()),
                _ => Query::Encrypted("type-gold".to_owned()),
            },
            Look::Image(which) => Query::Image(format!("image-{}", which % 3)),
            Look::Zone(which) => Query::ZoneIsValid(format!("zone-{}", which % 3)),
            Look::Reserved(which) => {
                let last = self.reservations.len();
                let from = last.saturating_sub(usize::from(which % 5));
                Query::ReservedResources(self.reservations[from..].to_vec())
            }
        }
    }

    /// Takes note of what an effect answered and changed.
    fn note(&mut self, flow: usize, answer: &Answer, changes: Vec<Change>) {
        match answer {
            Answer::Reservations(ids) => self.reservations.extend(ids.iter().cloned()),
            Answer::Key(id) => self.keys.push(id.clone()),
            Answer::Volume(volume) => {
                let id = volume["id"].as_str().unwrap().to_owned();
                if !self.volumes.contains(&id) {
                    self.volumes.push(id);
                }
            }
            Answer::Done => {}
        }
        for change in &changes {
            if let Change::Row { table, id, .. } = change {
                self.made[flow].insert(row_id(*table, id));
            }
        }
        self.applied.push((flow, changes));
    }

    /// What an operator does, in SQL.
    fn statement(&self, change: &Change1) -> String {
        let volume = |which| pick(&self.volumes, which, "no-volume").to_owned();
        match change {
            Change1::Delete(which) => format!(
                "UPDATE volumes SET returned = booked, booked = 0, deleted = 1, version = version + 1 WHERE id = '{}'",
                volume(*which)
            ),
            Change1::Snapshot(which, known) => format!(
                "INSERT OR REPLACE INTO snapshots (id, project_id, volume_id, volume_size, status, booked, booked_gigabytes, created_at)
                 SELECT 'snapshot-{}', project_id, id, size, 'available', 1, {}, 0 FROM volumes WHERE id = '{}'",
                which % 4,
                if *known { "size" } else { "NULL" },
                volume(*which)
            ),
            Change1::Lapse(which) => format!(
                "UPDATE reservations SET state = 'expired' WHERE state = 'open' AND id = '{}'",
                pick(&self.reservations, *which, "no-reservation")
            ),
            Change1::ForgetUsages => "UPDATE quota_usages SET deleted = 1".to_owned(),
            Change1::Limit(which, limit) => format!(
                "INSERT OR REPLACE INTO quotas VALUES ('acme', '{}', {limit})",
                RESOURCES[usize::from(which % 5)]
            ),
            Change1::DeleteType(which) => {
                format!("UPDATE volume_types SET deleted = {} WHERE id = 'type-gold'", which % 2)
            }
            Change1::MoveUsage(which, by) => format!(
                "UPDATE quota_usages SET in_use = in_use + {by} WHERE resource = '{}' AND deleted = 0",
                RESOURCES[usize::from(which % 5)]
            ),
            Change1::Zone(which) => format!("INSERT OR IGNORE INTO zones VALUES ('zone-{}')", which % 2),
            Change1::TakeMessage => "UPDATE outbox SET state = 'acked'".to_owned(),
        }
    }

    fn dump(&self) -> Vec<String> {
        let tables = [
            ("volumes", "id"),
            ("reservations", "id"),
            ("outbox", "id"),
            ("snapshots", "id"),
            ("keys", "id"),
            (
                "quota_usages",
                "project_id, resource, deleted, updated_at, in_use, reserved",
            ),
        ];
        let mut rows = Vec::new();
        for (table, order) in tables {
            let mut statement = self
                .connection
                .prepare(&format!("SELECT * FROM {table} ORDER BY {order}"))
                .unwrap();
            let names: Vec<String> = statement
                .column_names()
                .iter()
                .map(|&name| name.to_owned())
                .collect();
            let mut found = statement.query([]).unwrap();
            while let Some(row) = found.next().unwrap() {
                let cells = names.iter().enumerate().filter(|(_, name)| {
                    *name != "sealed" && !(table == "quota_usages" && *name == "id")
                });
                let cells: Vec<String> = cells
                    .map(|(at, name)| {
                        format!(
                            "{name}={}",
                            super::super::row::plain(row.get_ref(at).unwrap())
                        )
                    })
                    .collect();
                rows.push(format!("{table} {}", cells.join(" ")));
            }
        }
        rows
    }
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
            draft.answered(&fetching, fetched);
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

    fn operate(&mut self, change: &Change1) {
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
