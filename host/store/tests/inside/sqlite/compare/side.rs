//! One of the two databases and the operations on it.

use cairn_effects::effect::Change;
use cairn_effects::outbox::Message;
use cairn_effects::rows::{
    Draft, Made, Overlay, Row as _, RowId, Rows, RunRecord, Stop, Table, Wants, typed, undo,
};
use cairn_model::error::TaskError;
use cairn_volumes::{
    ClassLimit, Image, QuotaUsage, Reservation, Snapshot, Volume, VolumeKey, VolumeType,
};
use cairn_volumes::{KeyCopy, KeyCreate, KeyDelete};

use super::super::super::{open, statement};
use super::super::*;
use super::act::{Look, Meddling, RESOURCES, Race, TYPES, Wish};
use super::{changes, refused, shown};
use crate::backend::{Backend, Batch, FlowEntries};
use crate::journal;
use crate::memory::{Memory, MemoryDatabase};

/// One side: a database, its overlay of rows, the ids it returned in order, the effects it applied and has not undone.
pub(super) struct Side<B> {
    backend: B,
    env: Env,
    clock: Arc<ManualClock>,
    overlay: Overlay,
    volumes: Vec<String>,
    reservations: Vec<String>,
    keys: Vec<String>,
    applied: Vec<(usize, Vec<Change>)>,
    made: Vec<Made>,
    /// A flow that does not run, to whose journal each batch adds a row.
    flow: FlowId,
    batches: i64,
}

/// The tables that rules change.
static TABLES: [&Table; 6] = [
    Volume::TABLE,
    Reservation::TABLE,
    Message::TABLE,
    Snapshot::TABLE,
    VolumeKey::TABLE,
    QuotaUsage::TABLE,
];

fn pick<'a>(ids: &'a [String], which: u8, unknown: &'a str) -> &'a str {
    // Sometimes an id that does not exist.
    match ids.len() {
        0 => unknown,
        number if usize::from(which) % (number + 1) == number => unknown,
        number => &ids[usize::from(which) % (number + 1)],
    }
}

impl Side<Database> {
    pub(super) fn on_sqlite(config: &SqliteConfig, clock: &Arc<ManualClock>) -> Self {
        let connection = open::in_memory(&config.domains).unwrap();
        connection
            .execute_batch(
                "INSERT INTO volume_types (id, name, deleted) VALUES ('type-gold', 'gold', 0), ('type-old', 'old', 1);
                 INSERT INTO images (id, project_id, size, created_at) VALUES ('image-0', NULL, 1, 0), ('image-1', 'bolt', 1, 0);
                 INSERT INTO volumes (id, project_id, user_id, size, status, created_at) VALUES ('there-0', 'acme', 'u', 3, 'available', 0),
                     ('there-1', 'bolt', 'u', 3, 'available', 0);
                 INSERT INTO quota_classes (class_name, resource, hard_limit) VALUES ('default', 'volumes', 7), ('cheap', 'gigabytes', 5);",
            )
            .unwrap();
        let holder = LeaseHolder::new(None, config.lease);
        let database = Database::in_memory(connection, holder, config.patience);
        Self::new(database, config, clock)
    }

    /// Makes an operator's change, which bypasses the rules.
    pub(super) fn operate(&mut self, change: &Meddling) {
        self.commit();
        statement::execute(&self.backend.connection, &self.statement(change)).unwrap();
        self.overlay.forget();
    }
}

impl Side<Memory> {
    /// Creates a side with the same rows as `like`.
    pub(super) fn in_memory(
        like: &mut Side<Database>,
        config: &SqliteConfig,
        clock: &Arc<ManualClock>,
    ) -> Self {
        let database = MemoryDatabase::default();
        let others = [VolumeType::TABLE, Image::TABLE, ClassLimit::TABLE];
        let wants = Wants {
            whole: TABLES.into_iter().chain(others).collect(),
            ..Wants::default()
        };
        for (_, rows) in like.backend.fetch(wants).unwrap().whole {
            rows.iter()
                .for_each(|row| database.put_any(Arc::clone(row)));
        }
        Self::new(database.backend(|| false), config, clock)
    }

    /// Makes an operator's change if it adds a snapshot; returns whether it does.
    pub(super) fn operate(&mut self, change: &Meddling) -> bool {
        let Meddling::Snapshot(which, known) = change else {
            return false;
        };
        self.commit();
        let id = RowId::of::<Volume>(pick(&self.volumes, *which, "no-volume"));
        let wants = Wants {
            rows: vec![id],
            ..Wants::default()
        };
        let found = self.backend.fetch(wants).unwrap().rows;
        for volume in found
            .iter()
            .filter_map(|(_, row)| row.as_ref().and_then(typed::<Volume>))
        {
            self.backend.database().put(Snapshot {
                id: format!("snapshot-{}", which % 4).as_str().into(),
                project_id: volume.project_id.clone(),
                volume_id: Some(Arc::clone(&volume.id)),
                volume_size: volume.size,
                status: "available".into(),
                booked: true,
                booked_gigabytes: known.then_some(volume.size).flatten(),
                ..Snapshot::default()
            });
        }
        self.overlay.forget();
        true
    }
}

impl<B: Backend> Side<B> {
    fn new(backend: B, config: &SqliteConfig, clock: &Arc<ManualClock>) -> Self {
        let mut side = Self {
            backend,
            env: Env::new(config.clone().into(), Arc::clone(clock) as _),
            clock: Arc::clone(clock),
            overlay: Overlay::new(4096),
            volumes: ["there-0", "there-1"].map(str::to_owned).to_vec(),
            reservations: Vec::new(),
            keys: Vec::new(),
            applied: Vec::new(),
            made: (0..5).map(|_| Made::new()).collect(),
            flow: FlowId::new(),
            batches: 0,
        };
        side.begin();
        side
    }

    fn begin(&mut self) {
        if self.backend.begin(&*self.clock).unwrap() {
            self.overlay.forget();
        }
    }

    /// Commits the dirty rows in a batch that also has a journal row.
    pub(super) fn commit(&mut self) {
        let entries = FlowEntries {
            flow: self.flow,
            first: self.batches,
            entries: journal::pack(b"[]"),
            row: None,
        };
        let mark = self.backend.commit(&Batch {
            rows: self.overlay.written(),
            flows: vec![entries],
            ..Batch::default()
        });
        self.batches += 1;
        self.overlay.committed(mark.unwrap());
        self.begin();
    }

    /// Commits the dirty rows, and clears the row cache.
    pub(super) fn forget(&mut self) {
        self.commit();
        self.overlay.forget();
    }

    /// Runs rules over rows, fetching missing rows.
    fn run<T>(
        &mut self,
        flow: usize,
        by: Caller<'_>,
        race: Race,
        rules: impl Fn(&mut Rows<'_>) -> Result<T, Stop>,
    ) -> (Result<T, TaskError>, RunRecord) {
        let mut draft = Draft::new(self.clock.now());
        loop {
            let services = self.env.domains().services();
            let rows = Rows::new(
                &mut self.overlay,
                &mut draft,
                by,
                &self.made[flow],
                services,
            );
            let (result, done) = rows.run(|rows| rules(rows));
            match result {
                Ok(value) => return (Ok(value), done),
                Err(Stop::Refused(error)) => return (Err(error), done),
                Err(Stop::Missing) => {}
            }
            let fetching = self.overlay.begin_fetch();
            if matches!(race, Race::BeforeTheLook) {
                self.commit();
            }
            let fetched = self.backend.fetch(draft.take_wants()).unwrap();
            if matches!(race, Race::AfterTheLook) {
                self.commit();
            }
            assert!(self.overlay.is_current(&fetching));
            self.overlay.accept(&fetched);
            draft.answered(fetching, fetched);
        }
    }

    /// Applies an effect; returns its answer and changes, or its refusal, and the denied ids.
    pub(super) fn effect(
        &mut self,
        flow: usize,
        (call, who): &(CallId, Identity),
        wish: &Wish,
        race: Race,
    ) -> Value {
        let by = Caller {
            call: Some(*call),
            requester: who,
        };
        let effect = self.wished(wish);
        let (result, done) = self.run(flow, by, race, |rows| effect.rule().apply_dyn(rows));
        match result {
            Ok(answer) => {
                let answer = Answer::of(&answer);
                let outcome = json!([shown(&answer), changes(&done.changes), done.denied]);
                self.note(flow, &answer, done.changes);
                outcome
            }
            Err(error) => json!([refused(&error), done.denied]),
        }
    }

    /// Runs a query; returns its answer or refusal, and the denied ids.
    pub(super) fn query(
        &mut self,
        flow: usize,
        (call, who): &(CallId, Identity),
        look: &Look,
        race: Race,
    ) -> Value {
        let by = Caller {
            call: Some(*call),
            requester: who,
        };
        let query = self.looked(look);
        let rule = query.rule();
        let (result, done) = self.run(flow, by, race, |rows| rule.look_up_dyn(rows));
        match result {
            Ok(answer) => json!([rule.show(&*answer), done.denied]),
            Err(error) => json!([refused(&error), done.denied]),
        }
    }

    /// Undoes one of the latest effects; returns null when it was undone or there is none.
    pub(super) fn undo(&mut self, which: u8, flows: &[(CallId, Identity)], race: Race) -> Value {
        let number = self.applied.len();
        if number == 0 {
            return Value::Null;
        }
        let at = number - 1 - usize::from(which % 4).min(number - 1);
        let (flow, changes) = self.applied.remove(at);
        let by = Caller {
            call: Some(flows[flow].0),
            requester: &Identity::default(),
        };
        let tables = self.env.domains().tables().clone();
        let (result, _) = self.run(flow, by, race, |rows| {
            let mut changes = changes.iter().rev();
            changes.try_for_each(|change| undo(rows, &tables, change))
        });
        result.map_or_else(|error| refused(&error), |()| Value::Null)
    }

    fn wished(&self, wish: &Wish) -> Effect {
        let project = |other: bool| other.then(|| "bolt".to_owned());
        let volume = |which| pick(&self.volumes, which, "no-volume").to_owned();
        match wish {
            Wish::Reserve(deltas, other) => Effect::QuotaReserve(QuotaReserve {
                project: project(*other),
                deltas: deltas
                    .iter()
                    .map(|(name, delta)| {
                        // Rarely a resource that does not exist.
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
                    false => Effect::QuotaRollback(cairn_volumes::QuotaRollback {
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

    fn looked(&self, look: &Look) -> Query {
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

    /// Records the answer and the changes of an effect.
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
                let row = self.env.domains().tables().row(table, id);
                self.made[flow].extend(row);
            }
        }
        self.applied.push((flow, changes));
    }

    /// Returns an operator's change as SQL.
    fn statement(&self, change: &Meddling) -> String {
        let volume = |which| pick(&self.volumes, which, "no-volume").to_owned();
        match change {
            Meddling::Delete(which) => format!(
                "UPDATE volumes SET returned = booked, booked = 0, deleted = 1, version = version + 1 WHERE id = '{}'",
                volume(*which)
            ),
            Meddling::Snapshot(which, known) => format!(
                "INSERT OR REPLACE INTO snapshots (id, project_id, volume_id, volume_size, status, booked, booked_gigabytes, created_at)
                 SELECT 'snapshot-{}', project_id, id, size, 'available', 1, {}, 0 FROM volumes WHERE id = '{}'",
                which % 4,
                if *known { "size" } else { "NULL" },
                volume(*which)
            ),
            Meddling::Lapse(which) => format!(
                "UPDATE reservations SET state = 'expired' WHERE state = 'open' AND id = '{}'",
                pick(&self.reservations, *which, "no-reservation")
            ),
            Meddling::ForgetUsages => "UPDATE quota_usages SET deleted = 1".to_owned(),
            Meddling::Limit(which, limit) => format!(
                "INSERT OR REPLACE INTO quotas VALUES ('acme', '{}', {limit})",
                RESOURCES[usize::from(which % 5)]
            ),
            Meddling::DeleteType(which) => {
                format!("UPDATE volume_types SET deleted = {} WHERE id = 'type-gold'", which % 2)
            }
            Meddling::MoveUsage(which, by) => format!(
                "UPDATE quota_usages SET in_use = in_use + {by} WHERE resource = '{}' AND deleted = 0",
                RESOURCES[usize::from(which % 5)]
            ),
            Meddling::Zone(which) => format!("INSERT OR IGNORE INTO zones VALUES ('zone-{}')", which % 2),
            Meddling::TakeMessage => "UPDATE outbox SET state = 'acked'".to_owned(),
        }
    }

    /// Returns every row of the tables that rules change, in order, without random values.
    pub(super) fn dump(&mut self) -> Vec<String> {
        self.commit();
        let wants = Wants {
            whole: TABLES.to_vec(),
            ..Wants::default()
        };
        let tables = self.backend.fetch(wants).unwrap().whole.into_iter();
        let rows = tables.flat_map(|(_, rows)| rows.to_vec());
        let shown = rows.map(|row| {
            let columns = row.table().columns.iter().enumerate();
            let columns = columns.filter(|(_, column)| column.name != "sealed");
            let is_usage = row.table() == QuotaUsage::TABLE;
            let columns = columns.filter(|(_, column)| !(is_usage && column.name == "id"));
            let cells = columns.map(|(at, column)| format!("{}={:?}", column.name, row.cell(at)));
            format!(
                "{} {}",
                row.table().name,
                cells.collect::<Vec<_>>().join(" ")
            )
        });
        let mut shown: Vec<String> = shown.collect();
        // Ids of one process sort in the order of creation.
        shown.sort();
        shown
    }
}
