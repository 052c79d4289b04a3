//! A database, the process that works on it, and the invariants checked after every operation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use acceptance::program::volume_create;
use cairn::audit::Asker;
use cairn::clock::{ManualClock, Timestamp};
use cairn::flow_request::RequestError;
use cairn::host::Dispatched;
use cairn::plugin::Plugins;
use cairn::store::BatchConfig;
use cairn::store::admin::Admin;
use cairn::store::operation::Operation;
use cairn::store::view::{CAST, FlowFilter, Kind};
use cairn::volumes::operator::{NewVolumeType, OperateVolumes as _, ReadVolumes as _, kind};
use cairn::volumes::quota::QuotaConfig;
use cairn::{
    FlowId, Host, HostError, Identity, Manifest, Object, Plan, Report, Sqlite, SqliteConfig,
    StoreError, Submission, Value, volumes,
};
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use crate::plan::{Asked, Fault, Op, PROJECTS, STATUSES, Settings, Source, TYPES};
use crate::script::Script;

/// Seconds until a reservation expires.
const EXPIRY: u64 = 100;

/// Resources for which limits are set.
const RESOURCES: [&str; 4] = ["volumes", "gigabytes", "snapshots", "volumes_gold"];

/// The number of occurrences of each notable result.
pub type Tally = BTreeMap<String, usize>;

pub struct World {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    settings: Settings,
    resumes: bool,
    /// The number of deaths of the process, each of which starts a copy of the database.
    deaths: usize,
    life: Option<Life>,
    pub tally: Tally,
}

/// A process.
struct Life {
    host: Host,
    script: Arc<Script>,
    plan: Plan,
    /// Reads the database without the library.
    judge: Connection,
}

fn boss() -> Identity {
    Identity::new("root", "ops").into_admin()
}

fn owner(project: &str) -> Identity {
    Identity::new("ann", project)
}

fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

fn plugins() -> Arc<Plugins> {
    static PLUGINS: LazyLock<Arc<Plugins>> =
        LazyLock::new(|| Plugins::new(&cairn::plugin_config()).unwrap());
    Arc::clone(&PLUGINS)
}

/// Returns the bytes of a database with both volume types.
fn template() -> &'static [u8] {
    static TEMPLATE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let folder = scratch();
        let path = folder.path().join("template.db");
        let clock = Arc::new(ManualClock::new(Timestamp(1_000_000)));
        let store =
            Sqlite::open(&path, acceptance::any::config(Default::default()), clock).unwrap();
        for name in TYPES {
            store
                .admin(&boss(), |admin| admin.create_volume_type(&named(name)))
                .unwrap();
        }
        drop(store);
        std::fs::read(path).unwrap()
    });
    &TEMPLATE
}

fn named(name: &str) -> NewVolumeType {
    NewVolumeType {
        name: name.to_owned(),
        ..NewVolumeType::default()
    }
}

fn text<'a>(row: &'a Object, column: &str) -> &'a str {
    row.get(column).and_then(Value::as_str).unwrap_or_default()
}

impl Life {
    fn begin(database: &Path, clock: &Arc<ManualClock>, settings: Settings, resumes: bool) -> Self {
        let volumes = volumes::Settings {
            quota: QuotaConfig {
                reservation_expire: EXPIRY,
                no_snapshot_gigabytes: settings.no_snapshot_gigabytes,
                until_refresh: settings.until_refresh,
                max_age: settings.max_age,
                ..QuotaConfig::default()
            },
            ..volumes::Settings::default()
        };
        let config = SqliteConfig {
            // All changes are on disk when the process dies.
            batch: BatchConfig {
                events: 1,
                ..BatchConfig::default()
            },
            ..acceptance::any::config(volumes)
        };
        let store = Sqlite::open(database, config, Arc::clone(clock) as _).unwrap();
        let script = Script::new(database);
        let wrapper = Arc::clone(&script);
        let host = Host::builder(Arc::new(store), plugins())
            .builtins(cairn_bundle::PLUGINS)
            .workers(1)
            .intercept(move |planned, task| wrapper.wrap(&planned.plugin, task))
            .build()
            .unwrap();
        let path = volume_create();
        let manifest = std::fs::read_to_string(&path).unwrap();
        let manifest = match resumes {
            true => manifest.replace("[flow]\n", "[flow]\non_lost = \"resume\"\n"),
            false => manifest,
        };
        let manifest = Manifest::parse(&manifest, Path::new(&path), &cairn::grant_kinds()).unwrap();
        let plan = host.plan(&manifest).unwrap();
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let judge = Connection::open_with_flags(database, flags).unwrap();
        Self {
            host,
            script,
            plan,
            judge,
        }
    }
}

impl World {
    /// Creates a database with only the two volume types. `resumes`: whether the flows of a dead process are resumed.
    pub fn new(resumes: bool) -> Self {
        let mut world = Self {
            folder: scratch(),
            clock: Arc::new(ManualClock::new(Timestamp(1_000_000))),
            settings: Settings::default(),
            resumes,
            deaths: 0,
            life: None,
            tally: Tally::new(),
        };
        std::fs::write(world.database(), template()).unwrap();
        world.begin();
        world
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join(format!("{}.db", self.deaths))
    }

    fn begin(&mut self) {
        self.life = None;
        let life = Life::begin(&self.database(), &self.clock, self.settings, self.resumes);
        self.life = Some(life);
    }

    fn life(&self) -> &Life {
        self.life.as_ref().expect("a process")
    }

    fn count(&mut self, what: impl Into<String>) {
        *self.tally.entry(what.into()).or_default() += 1;
    }

    /// Executes the operations in order, and checks the invariants after each.
    ///
    /// # Errors
    /// The violated invariant, and the operation.
    pub fn run(&mut self, ops: &[Op]) -> Result<(), String> {
        for (number, op) in ops.iter().enumerate() {
            let told = |what: String| format!("after operation {number}, {op:?}: {what}");
            self.perform(op).and_then(|()| self.check()).map_err(told)?;
        }
        Ok(())
    }

    // ---- Operations
    // ---------------------------------------------------------------------------------------------------

    fn perform(&mut self, op: &Op) -> Result<(), String> {
        match op {
            Op::CreateVolume {
                project,
                size,
                volume_type,
            } => self.admin("create volume", &owner(PROJECTS[*project]), |admin| {
                let mut properties = json!({"size": size, "status": "available"});
                if let Some(name) = volume_type {
                    let found = admin
                        .view()
                        .resolve_visible(&kind::VOLUME_TYPE, TYPES[*name])?;
                    properties["volume_type_id"] = found["id"].clone();
                }
                let properties = properties.as_object().cloned().unwrap_or_default();
                admin.create_volume(properties).map(drop)
            }),
            Op::DeleteVolume { pick, admin } => {
                let Some(volume) = self.pick(&kind::VOLUME, *pick) else {
                    return Ok(());
                };
                let id = text(&volume, "id").to_owned();
                self.admin("delete volume", &who(&volume, *admin), |admin| {
                    admin.delete_volume(&id)
                })
            }
            Op::SetVolume { pick, status } => {
                let Some(volume) = self.pick(&kind::VOLUME, *pick) else {
                    return Ok(());
                };
                let id = text(&volume, "id").to_owned();
                let status = json!({"status": STATUSES[*status]});
                let status = status.as_object().cloned().unwrap_or_default();
                self.admin("set volume", &who(&volume, false), |admin| {
                    admin.update_volume(&id, status).map(drop)
                })
            }
            Op::CreateSnapshot { pick, admin } => {
                let Some(volume) = self.pick(&kind::VOLUME, *pick) else {
                    return Ok(());
                };
                let id = text(&volume, "id").to_owned();
                self.admin("create snapshot", &who(&volume, *admin), |admin| {
                    admin.create_snapshot(&id, None, "available").map(drop)
                })
            }
            Op::DeleteSnapshot { pick, admin } => {
                let Some(snapshot) = self.pick(&kind::SNAPSHOT, *pick) else {
                    return Ok(());
                };
                let id = text(&snapshot, "id").to_owned();
                self.admin("delete snapshot", &who(&snapshot, *admin), |admin| {
                    admin.delete_snapshot(&id)
                })
            }
            Op::CreateType { name } => self.admin("create type", &boss(), |admin| {
                admin.create_volume_type(&named(TYPES[*name])).map(drop)
            }),
            Op::DeleteType { pick, force } => {
                let Some(found) = self.pick(&kind::VOLUME_TYPE, *pick) else {
                    return Ok(());
                };
                let id = text(&found, "id").to_owned();
                let what = if *force { "force type" } else { "delete type" };
                self.admin(what, &boss(), |admin| admin.delete_volume_type(&id, *force))
            }
            Op::SetLimit {
                project,
                resource,
                limit,
            } => self.admin("set limit", &boss(), |admin| {
                admin.set_project_limit(PROJECTS[*project], RESOURCES[*resource], Some(*limit))
            }),
            Op::Settings(settings) => {
                self.settings = *settings;
                self.begin();
                Ok(())
            }
            Op::Sync => self.admin("sync", &boss(), |admin| admin.sync_usages().map(drop)),
            Op::Expire => {
                self.clock.advance(Duration::from_secs(EXPIRY + 1));
                let mut expired = None;
                self.admin("expire", &boss(), |admin| {
                    expired = Some(admin.expire_reservations()?);
                    Ok(())
                })?;
                if expired.is_some_and(|expired| expired.rolled_back > 0) {
                    self.count("reservations lapsed");
                }
                Ok(())
            }
            Op::Prune => {
                self.clock.advance(Duration::from_secs(1));
                let pruned = self
                    .life()
                    .host
                    .store()
                    .prune_flows(&boss(), Duration::ZERO);
                let pruned = pruned.map_err(|error| error.to_string())?;
                if pruned.flows > 0 {
                    self.count("flows pruned");
                }
                Ok(())
            }
            Op::AckAll => self.admin("ack", &boss(), |admin| {
                for cast in admin.view().list(&CAST, None, false)? {
                    if text(&cast, "state") == "ready" {
                        admin.ack_cast(text(&cast, "id"))?;
                    }
                }
                Ok(())
            }),
            Op::Wait(seconds) => {
                self.clock.advance(Duration::from_secs(*seconds));
                Ok(())
            }
            Op::Run {
                project,
                size,
                volume_type,
                source,
                fault,
            } => self.run_flow(PROJECTS[*project], *size, *volume_type, *source, *fault),
            Op::Operate {
                pick,
                operation,
                fault,
            } => self.operate(*pick, *operation, *fault),
            Op::Recover { fault } => self.recover(*fault),
        }
    }

    fn admin(
        &mut self,
        what: &str,
        by: &Identity,
        work: impl FnOnce(&mut Admin<'_>) -> Result<(), StoreError>,
    ) -> Result<(), String> {
        let done = self.life().host.store().admin(by, work);
        match done {
            Ok(()) => self.count(what),
            Err(StoreError::Refused(error)) => self.count(format!("{what}: {}", error.kind)),
            Err(error) => return Err(error.to_string()),
        }
        Ok(())
    }

    /// Returns a row that is not deleted.
    fn pick(&self, kind: &Kind, pick: usize) -> Option<Object> {
        let store = self.life().host.store();
        let rows = store.read(&boss(), |view| view.list(kind, None, false));
        let mut rows = rows.unwrap();
        (!rows.is_empty()).then(|| rows.swap_remove(pick % rows.len()))
    }

    fn run_flow(
        &mut self,
        project: &str,
        size: i64,
        volume_type: Option<usize>,
        source: Source,
        fault: Option<Fault>,
    ) -> Result<(), String> {
        let mut asked = json!({"size": size, "volume_type": volume_type.map(|name| TYPES[name])});
        let source = match source {
            Source::Nothing => None,
            Source::Volume(pick) => Some(("source_volid", &kind::VOLUME, pick)),
            Source::Snapshot(pick) => Some(("snapshot_id", &kind::SNAPSHOT, pick)),
        };
        if let Some((key, kind, pick)) = source
            && let Some(row) = self.pick(kind, pick)
        {
            asked[key] = text(&row, "id").into();
        }
        let life = self.life();
        let requester = owner(project);
        let request = life.host.store().try_read(&requester, |view| {
            let action = life.plan.action.as_deref();
            cairn::flow_request::resolve(action, &asked, None, view)
        });
        let request = match request {
            Err(RequestError::Store(error)) => return Err(error.to_string()),
            Err(_) => return Ok(()),
            request => request,
        };
        let submission = Submission {
            plan: life
                .host
                .ready(&life.plan)
                .map_err(|error| error.to_string())?,
            requester,
            request,
            key: None,
        };
        let submitted = life.host.submit_watched(submission, |flow| {
            life.script.arm(fault, Some(flow));
            Ok::<_, HostError>(())
        });
        let report = submitted.and_then(|submitted| submitted.wait());
        let report = report.map_err(|error| error.to_string())?;
        self.count(format!("run: {}", report.flow.state.as_str()));
        self.after(Some(&report))
    }

    fn operate(&mut self, pick: usize, asked: Asked, fault: Option<Fault>) -> Result<(), String> {
        let store = self.life().host.store();
        let flows = store.read(&boss(), |view| view.flows(FlowFilter::default(), 100));
        let mut flows = flows.map_err(|error| error.to_string())?;
        if matches!(asked, Asked::Accept) {
            flows.retain(|flow| flow.incomplete);
        }
        if flows.is_empty() {
            return Ok(());
        }
        let flow = &flows[pick % flows.len()];
        let operation = match asked {
            Asked::Interrupt => Operation::Interrupt,
            Asked::Resume => Operation::Resume,
            Asked::Reset => Operation::Reset,
            Asked::Rollback => Operation::Rollback {
                reason: "enough".to_owned(),
            },
            Asked::Accept => Operation::Accept {
                user_id: "root".to_owned(),
                reason: "that will do".to_owned(),
            },
        };
        let id = flow.id;
        let made = self.returned(id)?;
        self.life().script.arm(fault, None);
        match self
            .life()
            .host
            .operate(id, &operation, &Asker::new("root", "test"))
        {
            Ok(Dispatched::Here(report)) => {
                let state = report.flow.state.as_str();
                self.count(format!("{}: {state}", operation.name()));
                if made > 0 && matches!(operation, Operation::Rollback { .. }) {
                    self.count("a flow was rolled back whose volume was deleted");
                }
                self.after(Some(&report))
            }
            Ok(Dispatched::Asked { .. }) => Err("another process has the flow".to_owned()),
            // The flow's state does not allow the operation.
            Err(HostError::Flow(_)) => self.after(None),
            Err(error) => Err(error.to_string()),
        }
    }

    fn recover(&mut self, fault: Option<Fault>) -> Result<(), String> {
        self.life().script.arm(fault, None);
        let recovered = self.life().host.recover(true);
        let recovered = recovered.map_err(|error| error.to_string())?;
        for flow in &recovered {
            match &flow.outcome {
                Ok((state, _)) => self.count(format!("recover: {}", state.as_str())),
                Err(reason) => return Err(format!("flow {} is stuck: {reason}", flow.id)),
            }
        }
        self.after(None)
    }

    /// Follows up a change by a flow.
    fn after(&mut self, report: Option<&Report>) -> Result<(), String> {
        if let Some(remains) = self.life().script.disarm() {
            self.life = None;
            self.deaths += 1;
            for suffix in ["", "-wal"] {
                let file = |path: &Path| format!("{}{suffix}", path.display());
                std::fs::rename(file(&remains), file(&self.database())).unwrap();
            }
            self.begin();
            self.count("a process died");
            return Ok(());
        }
        match report {
            Some(report) => self.check_report(report),
            None => Ok(()),
        }
    }

    // ---- Invariants
    // ---------------------------------------------------------------------------------------------------

    fn check(&self) -> Result<(), String> {
        let store = self.life().host.store();
        let drift = store.read(&boss(), |view| view.quota_drift(None));
        let drift = drift.map_err(|error| error.to_string())?;
        if let Some(first) = drift.first() {
            return Err(format!("{} usages drifted: {first:?}", drift.len()));
        }
        for (rule, statement) in RULES {
            let broken = self.ids(statement, [])?;
            if !broken.is_empty() {
                return Err(format!("not so: {rule}: {broken:?}"));
            }
        }
        Ok(())
    }

    /// Checks that a verdict claims no more than is true.
    fn check_report(&mut self, report: &Report) -> Result<(), String> {
        let Some(rollback) = &report.rollback else {
            return Ok(());
        };
        self.count(format!("verdict: {:?}", rollback.verdict));
        let flow = report.flow.id.0.as_bytes();
        let kept = self.ids(
            "SELECT id FROM volumes WHERE flow = ? AND deleted = 0 ORDER BY id",
            [flow],
        )?;
        let mut told = rollback.residue.iter().filter(|left| left.kind == "volume");
        // The report may name a volume that has been deleted since.
        if let Some(untold) = kept.iter().find(|id| !told.any(|left| left.id == **id)) {
            let residue = &rollback.residue;
            return Err(format!(
                "volume {untold} is left, and the report says {residue:?}"
            ));
        }
        let open = self.ids(
            "SELECT id FROM reservations WHERE flow = ? AND state = 'open'",
            [flow],
        )?;
        if rollback.failed.is_empty() && !open.is_empty() {
            return Err(format!(
                "{:?}, and reservations {open:?} are open",
                rollback.verdict
            ));
        }
        let usages = rollback.residue.iter().any(|left| left.kind == "usage");
        if rollback.failed.is_empty() && usages {
            return Err(format!("usages are left: {:?}", rollback.residue));
        }
        Ok(())
    }

    /// Returns the number of volumes of a flow whose deletion returned their quota.
    fn returned(&self, flow: FlowId) -> Result<usize, String> {
        let statement = "SELECT id FROM volumes WHERE flow = ? AND returned = 1";
        Ok(self.ids(statement, [flow.0.as_bytes()])?.len())
    }

    fn ids(&self, statement: &str, params: impl rusqlite::Params) -> Result<Vec<String>, String> {
        let ids = || -> rusqlite::Result<Vec<String>> {
            let mut statement = self.life().judge.prepare_cached(statement)?;
            statement.query_map(params, |row| row.get(0))?.collect()
        };
        ids().map_err(|error| error.to_string())
    }
}

/// Invariants of the tables alone, written independently of the library: each selects the violations.
const RULES: [(&str, &str); 4] = [
    (
        "a usage is the sum of what is booked",
        "SELECT project_id || '/' || resource FROM quota_usages u WHERE deleted = 0 AND in_use <> (
             SELECT COALESCE(SUM(CASE
                 WHEN u.resource IN ('volumes', 'volumes_' || t.name) THEN 1
                 WHEN u.resource IN ('gigabytes', 'gigabytes_' || t.name) THEN size
                 ELSE 0 END), 0)
             FROM volumes v LEFT JOIN volume_types t ON t.id = v.volume_type_id
             WHERE v.project_id = u.project_id AND v.deleted = 0 AND v.booked = 1
         ) + (
             SELECT COALESCE(SUM(CASE
                 WHEN u.resource IN ('snapshots', 'snapshots_' || t.name) THEN 1
                 WHEN u.resource IN ('gigabytes', 'gigabytes_' || t.name) THEN booked_gigabytes
                 ELSE 0 END), 0)
             FROM snapshots s LEFT JOIN volume_types t ON t.id = s.volume_type_id
             WHERE s.project_id = u.project_id AND s.deleted = 0
         )",
    ),
    (
        "what a flow that succeeded made is booked",
        "SELECT volumes.id FROM volumes JOIN flows ON flows.id = volumes.flow
         WHERE volumes.deleted = 0 AND booked = 0 AND state = 'SUCCESS'",
    ),
    (
        "a message that can be taken is of a flow that succeeded, and its volume is there or was deleted since",
        "SELECT outbox.id FROM outbox JOIN flows ON flows.id = outbox.flow
         WHERE outbox.state = 'ready' AND flows.state <> 'SUCCESS'",
    ),
    (
        "a snapshot is its volume's project's",
        "SELECT snapshots.id FROM snapshots JOIN volumes ON volumes.id = volume_id
         WHERE snapshots.deleted = 0 AND snapshots.project_id <> volumes.project_id",
    ),
];

/// Returns the caller that changes a row: its owner, or an admin of another project.
fn who(row: &Object, admin: bool) -> Identity {
    match admin {
        true => boss(),
        false => owner(text(row, "project_id")),
    }
}
