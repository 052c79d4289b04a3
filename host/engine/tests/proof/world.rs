//! Runs a case: concurrently on one store, and again from the state that a crash leaves.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use cairn::error::Cause;
use cairn::event::{FlowState, TaskState};
use cairn::flow::{Recovery, TaskNotice, TaskOptions};
use cairn::history::History;
use cairn::keyring::KeySource;
use cairn::retry::Retry;
use cairn::store::HostStore;
use cairn::store::view::CAST;
use cairn::volumes::Settings;
use cairn::volumes::quota::QuotaConfig;
use cairn::{Flow, FlowError, FlowId, Identity, Object, SqliteConfig, Store, Value};
use serde_json::json;

use crate::actor::{self, Actor};
use crate::any;
use crate::known::{Known, first_volume};
use crate::place::{Kind, Place};
use crate::plan::{Books, Case, FlowPlan, PROJECTS, RESOURCES, Tries};
use crate::recorder::{Crash, Recorder, Ticking};
use crate::stage::Stage;

/// Id of the volume type that exists from the start.
pub const GOLD: &str = "type-gold";

/// Usage at the start with [`Books::Free`]: so much that giving back never makes it negative, since a negative usage is
/// recounted.
pub const FREE_IN_USE: i64 = 1000;

/// A running case: its databases, and the ids of its flows.
pub struct World {
    pub case: Case,
    pub kind: Kind,
    pub folder: tempfile::TempDir,
    pub clock: Arc<Ticking>,
    /// Flows in the order of the plan.
    pub flows: Vec<FlowId>,
}

/// A store whose flows have all ended, to be judged.
pub struct Ended {
    pub store: Arc<Recorder>,
    pub crashes: Vec<Crash>,
    /// States of the flows that were found unfinished.
    pub recovered: Vec<FlowState>,
}

/// Returns an operator's identity.
pub fn operator() -> Identity {
    Identity::new("olga", "operators").into_admin()
}

pub fn requester(plan: &FlowPlan) -> Identity {
    let requester = Identity::new("ann", PROJECTS[plan.project]);
    if plan.admin {
        requester.into_admin()
    } else {
        requester
    }
}

/// Creates a folder in memory if possible, since every flow waits until its writes are durable.
pub fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// Returns the rows that cases start with: the catalogue, some volumes and usages.
pub fn start(books: Books) -> BTreeMap<String, Vec<Object>> {
    let mut rows = BTreeMap::from([(
        "volume_types".to_owned(),
        vec![row(json!({
            "id": GOLD, "name": "gold",
        }))],
    )]);
    for (index, project) in PROJECTS.iter().enumerate() {
        let volumes = (0..2).map(|number| {
            row(json!({
                "id": first_volume(index, number), "project_id": project, "user_id": "ann", "size": number + 1,
                "status": "available", "booked": 1, "created_at": 1,
            }))
        });
        rows.entry("volumes".to_owned())
            .or_default()
            .extend(volumes);
        if books == Books::Free {
            let usages = RESOURCES.iter().map(|resource| {
                row(json!({
                    "project_id": project, "resource": resource, "in_use": FREE_IN_USE, "reserved": 0,
                }))
            });
            rows.entry("quota_usages".to_owned())
                .or_default()
                .extend(usages);
        }
    }
    rows
}

fn row(columns: Value) -> Object {
    columns.as_object().cloned().unwrap()
}

impl World {
    pub fn new(case: &Case, kind: Kind) -> Self {
        Self {
            case: case.clone(),
            kind,
            folder: scratch(),
            clock: Ticking::new(),
            flows: Vec::new(),
        }
    }

    /// Creates the database that the case starts with.
    pub fn fresh_database(&self, kind: Kind, name: &str) -> Place {
        Place::fresh(kind, self.case.books, &self.folder.path().join(name))
    }

    /// Returns the case's settings; without limits unless `limited`.
    pub fn config(&self, limited: bool) -> SqliteConfig {
        let (volumes, gigabytes) = match self.case.books {
            Books::Free => (FREE_IN_USE, FREE_IN_USE),
            Books::Kept => (2, 3),
        };
        let plan = &self.case.quota;
        let limit = |limit: i64| if limited { limit } else { -1 };
        any::config(Settings {
            quota: QuotaConfig {
                volumes: limit(volumes + plan.spare.0),
                snapshots: limit(volumes + plan.spare.0),
                gigabytes: limit(gigabytes + plan.spare.1),
                until_refresh: plan.until_refresh,
                max_age: plan.max_age,
                ..QuotaConfig::default()
            },
            keys: KeySource::NewFile(self.folder.path().join("key")),
            ..Settings::default()
        })
    }

    fn add_tasks(
        &self,
        index: usize,
        flow: &Flow,
        known: &History,
        store: &Arc<Recorder>,
        stage: Option<&Arc<Stage>>,
    ) {
        let plan = &self.case.flows[index];
        for (task, steps) in plan.tasks.iter().enumerate() {
            let name = actor::name(task);
            let record = known.tasks.iter().find(|record| record.name == name);
            let options = TaskOptions {
                name: None,
                call: retry(steps.call_tries),
                revert: retry(steps.revert_tries),
                id: record.map(|record| record.id),
                ..TaskOptions::default()
            };
            let actor = Actor::new(
                (index, task),
                (plan.project, plan.admin),
                steps.clone(),
                Arc::clone(store),
                stage.cloned(),
            );
            flow.add_with(Arc::new(actor), options).unwrap();
        }
    }

    /// Runs all flows concurrently, and copies the database after some operations.
    pub fn run(&mut self, crash_after: Vec<usize>) -> Ended {
        let place = self.fresh_database(self.kind, "live");
        let store = Recorder::open(
            &place,
            self.config(true),
            Arc::clone(&self.clock) as _,
            (Vec::new(), Known::at_start()),
            crash_after,
        );
        let stage = Arc::new(Stage::new(self.case.flows.len()));
        let mut flows = Vec::new();
        for (index, plan) in self.case.flows.iter().enumerate() {
            let flow = Flow::builder(format!("flow-{index}"))
                .requester(requester(plan))
                .build(Arc::clone(&store) as _);
            self.add_tasks(index, &flow, &flow.history(), &store, Some(&stage));
            flows.push(flow);
        }
        self.flows = flows.iter().map(Flow::id).collect();
        std::thread::scope(|scope| {
            for (index, flow) in flows.iter().enumerate() {
                let (plan, stage, store) = (&self.case.flows[index], &stage, &store);
                scope.spawn(move || {
                    let _presence = stage.enter(index);
                    run_flow(flow, plan, &|| stage.pause(index), &|| {
                        take_messages(&*store.inner, index);
                    });
                });
            }
            stage.direct(&self.case.turns);
        });
        Ended {
            crashes: store.take_crashes(),
            store,
            recovered: Vec::new(),
        }
    }

    /// Recovers the flows of a crash, and brings each to its end.
    pub fn recover(&self, crash: &Crash, how: Recovery, crash_after: Vec<usize>) -> Ended {
        let store = Recorder::open(
            &crash.place,
            self.config(true),
            Arc::clone(&self.clock) as _,
            (crash.log.clone(), crash.known.clone()),
            crash_after,
        );
        let mut recovered = Vec::new();
        for (index, id) in self.flows.iter().enumerate() {
            // A flow that had not started is not in the store.
            let Ok(journal) = store.load(*id) else {
                continue;
            };
            let flow = Flow::restore(*id, Arc::clone(&store) as _, &journal).unwrap();
            let state = flow.state();
            if matches!(state, FlowState::Success | FlowState::Failure) {
                continue;
            }
            recovered.push(state);
            self.add_tasks(index, &flow, &flow.history(), &store, None);
            expect_end(flow.recover(how));
            go_on(&flow, how == Recovery::Resume);
        }
        Ended {
            crashes: store.take_crashes(),
            store,
            recovered,
        }
    }
}

fn retry(tries: Tries) -> Retry {
    Retry {
        attempts: tries.attempts,
        on: tries.only_busy.then(|| vec!["Busy".to_owned()]),
        ..Retry::default()
    }
}

/// Runs a flow from start to end, with a pause before each operation of its caller.
fn run_flow(flow: &Flow, plan: &FlowPlan, pause: &dyn Fn(), take_messages: &dyn Fn()) {
    if let Some((task, _)) = plan.interrupt {
        let name = actor::name(task);
        let interrupt = move |notice: &TaskNotice| {
            if *notice.name == *name {
                notice.flow.interrupt()?;
            }
            Ok(())
        };
        flow.task_notifier()
            .register(TaskState::Success, Arc::new(interrupt))
            .unwrap();
    }
    expect_end(flow.run());
    if flow.state() == FlowState::Interrupted {
        pause();
        go_on(flow, plan.interrupt.is_some_and(|(_, resumes)| resumes));
    }
    if plan.again {
        if plan.taken {
            take_messages();
        }
        pause();
        flow.rollback(&Cause::requested("by hand")).unwrap();
    }
}

/// Takes every ready message of a flow, as its receiver would.
fn take_messages(store: &dyn HostStore, flow: usize) {
    let messages = store.read(&operator(), |view| view.list(&CAST, None, false));
    for message in messages.unwrap() {
        if message["state"] == "ready" && message["arguments"]["flow"] == flow {
            let id = message["id"].as_str().unwrap();
            store
                .admin(&operator(), |admin| admin.ack_cast(id))
                .unwrap();
        }
    }
}

/// Brings a waiting flow to its end.
fn go_on(flow: &Flow, resumes: bool) {
    match flow.state() {
        FlowState::Interrupted if resumes => {
            flow.soft_reset().unwrap();
            expect_end(flow.run());
        }
        FlowState::Interrupted => flow.rollback(&Cause::requested("enough")).unwrap(),
        FlowState::Pending => expect_end(flow.run()),
        _ => {}
    }
}

fn expect_end(result: Result<(), FlowError>) {
    assert!(
        matches!(result, Ok(()) | Err(FlowError::Failed(_))),
        "{result:?}"
    );
}
