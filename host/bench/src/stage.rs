//! Sets up a host with a database and the plan of a case, ready to run its flows.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cairn::clock::SystemClock;
use cairn::host::{ReadyPlan, ReadyTask};
use cairn::plugin::Plugins;
use cairn::store::memory::MemoryDatabase;
use cairn::store::postgres::{Postgres, PostgresConfig};
use cairn::store::{BatchConfig, Batched, HostStore, StoreConfig};
use cairn::{
    Domains, Flow, FlowError, Host, HostError, Identity, Plan, Report, Sqlite, SqliteConfig, Store,
    Submission, Value, flow_request, volumes,
};
use serde::Serialize;

use crate::{BenchError, Case, native};

/// The implementation of a flow's tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tasks {
    /// Plugins.
    Plugins,
    /// Native code with the same effects.
    Native,
}

/// The storage of flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// A SQLite database on disk.
    Sqlite,
    /// Tables in memory, without SQL and disk, to measure the engine alone.
    Memory,
}

/// The requester and the request of a flow.
pub struct Asked {
    requester: Identity,
    request: Value,
}

/// A host, the plan of a case, and the request of every flow.
pub struct Stage {
    /// The end of its flows.
    pub case: Case,
    /// The host.
    pub host: Host,
    /// The plan of its flows.
    pub plan: Plan,
    /// The plan with its tasks.
    pub ready: Arc<ReadyPlan>,
    /// The requesters of the flows, who ask by turns; one or more.
    pub requesters: Vec<Identity>,
    /// How many flows were asked for.
    asked: AtomicUsize,
    /// The request of the flows.
    pub request: Value,
}

impl Stage {
    /// Opens a stage on a database on disk, which is created if it does not exist. `queue` is the number of requests that may wait for
    /// a worker.
    ///
    /// # Errors
    /// [`BenchError`] of the store, of the sandbox and of the plan.
    pub fn open(
        path: &Path,
        case: Case,
        plugins: &Arc<Plugins>,
        tasks: Tasks,
        queue: usize,
    ) -> Result<Self, BenchError> {
        let store = Sqlite::open(path, config(case)?, Arc::new(SystemClock))?;
        Self::on(Arc::new(store), case, plugins, tasks, queue)
    }

    /// Opens a stage on a PostgreSQL database: a host of its own.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn on_server(
        server: &PostgresConfig,
        case: Case,
        plugins: &Arc<Plugins>,
        queue: usize,
    ) -> Result<Self, BenchError> {
        let server = PostgresConfig {
            store: StoreConfig {
                batch: server.store.batch,
                ..config(case)?.into()
            },
            ..server.clone()
        };
        let store = Postgres::open(&server, Arc::new(SystemClock))?;
        Self::on(Arc::new(store), case, plugins, Tasks::Plugins, queue)
    }

    /// Opens a stage on a SQLite database in memory, which is lost when the stage is dropped.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn in_memory(case: Case, plugins: &Arc<Plugins>) -> Result<Self, BenchError> {
        let store = Sqlite::in_memory(config(case)?, Arc::new(SystemClock))?;
        Self::on(Arc::new(store), case, plugins, Tasks::Plugins, 1)
    }

    /// Opens a stage on [`Storage::Memory`].
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn without_sql(
        case: Case,
        plugins: &Arc<Plugins>,
        tasks: Tasks,
        queue: usize,
    ) -> Result<Self, BenchError> {
        let backend = MemoryDatabase::default().backend(|| false);
        let store = Batched::over(backend, config(case)?.into(), Arc::new(SystemClock))?;
        Self::on(Arc::new(store), case, plugins, tasks, queue)
    }

    /// Opens a stage on a database on disk whose batches are committed only when a flow waits for them.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn of_whole_flows(
        path: &Path,
        case: Case,
        plugins: &Arc<Plugins>,
    ) -> Result<Self, BenchError> {
        let config = SqliteConfig {
            batch: BatchConfig {
                age: Duration::from_secs(60),
                ..BatchConfig::default()
            },
            ..config(case)?
        };
        let store = Sqlite::open(path, config, Arc::new(SystemClock))?;
        Self::on(Arc::new(store), case, plugins, Tasks::Plugins, 1)
    }

    fn on(
        store: Arc<dyn HostStore>,
        case: Case,
        plugins: &Arc<Plugins>,
        tasks: Tasks,
        queue: usize,
    ) -> Result<Self, BenchError> {
        let builder = Host::builder(store, Arc::clone(plugins))
            .builtins(&Case::plugins())
            .queue(queue);
        let host = match tasks {
            Tasks::Plugins => builder.build()?,
            Tasks::Native => builder.intercept(native::in_place_of).build()?,
        };
        let plan = host.plan(&case.manifest()?)?;
        let requester = requester();
        let request = resolve(&plan, case, &requester)?;
        Ok(Self {
            case,
            ready: host.ready(&plan)?,
            host,
            plan,
            requesters: vec![requester],
            asked: AtomicUsize::new(0),
            request,
        })
    }

    /// Returns the first of the requesters.
    pub fn requester(&self) -> &Identity {
        &self.requesters[0]
    }

    /// Returns the requester and the request of the next of its flows.
    pub fn ask(&self) -> Asked {
        let turn = self.asked.fetch_add(1, Ordering::Relaxed) % self.requesters.len();
        Asked {
            requester: self.requesters[turn].clone(),
            request: self.request.clone(),
        }
    }

    /// Submits one flow; `then` receives its report.
    ///
    /// # Errors
    /// Those of the host.
    pub fn submit(
        &self,
        asked: Asked,
        then: impl FnOnce(Result<Report, HostError>) + Send + 'static,
    ) -> Result<(), HostError> {
        let submission = Submission {
            plan: Arc::clone(&self.ready),
            requester: asked.requester,
            request: Ok(asked.request),
            key: None,
        };
        self.host.submit_then(submission, then).map(drop)
    }

    /// Runs one flow of these tasks to its end, as the host would.
    ///
    /// # Errors
    /// Those of the store.
    pub fn run_tasks(&self, tasks: &[ReadyTask], asked: Asked) -> Result<Report, HostError> {
        let flow = self.flow(tasks, asked)?;
        match flow.run() {
            Ok(()) | Err(FlowError::Failed(_)) => Ok(Report::new(flow.id(), &flow.history())),
            Err(error) => Err(HostError::Flow(error)),
        }
    }

    /// Makes a flow of these tasks, in PENDING.
    ///
    /// # Errors
    /// That of adding a task to a running flow, which does not occur here.
    pub fn flow(&self, tasks: &[ReadyTask], asked: Asked) -> Result<Flow, HostError> {
        let store: Arc<dyn Store> = Arc::clone(self.host.store()) as _;
        let flow = Flow::builder(&self.plan.name)
            .requester(asked.requester)
            .request(asked.request)
            .plan(self.ready.digest())
            .build(store);
        for (options, task) in tasks {
            flow.add_with(Arc::clone(task), options.clone())
                .map_err(HostError::Flow)?;
        }
        Ok(flow)
    }
}

/// Resolves the request of a case by the plan's action. Uses a SQLite store, because not every store can run the SQL for this.
fn resolve(plan: &Plan, case: Case, requester: &Identity) -> Result<Value, BenchError> {
    let store = Sqlite::in_memory(config(case)?, Arc::new(SystemClock))?;
    store.try_read(requester, |view| {
        Ok(flow_request::resolve(
            plan.action.as_deref(),
            &case.request(),
            None,
            view,
        )?)
    })
}

/// Returns the requester of every flow.
pub(crate) fn requester() -> Identity {
    Identity::new("demo", "demo")
}

fn config(case: Case) -> Result<SqliteConfig, BenchError> {
    let volumes = volumes::domain(volumes::Settings {
        quota: case.quota(),
        ..volumes::Settings::default()
    });
    let domains =
        Domains::new([volumes]).map_err(|error| BenchError::Unexpected(error.to_string()))?;
    Ok(SqliteConfig {
        domains,
        ..SqliteConfig::default()
    })
}
