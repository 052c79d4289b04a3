//! A host on a new database, ready to run flows of one case.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cairn::clock::SystemClock;
use cairn::host::{HostError, ReadyPlan, ReadyTask};
use cairn::plugin::Plugins;
use cairn::store::memory::MemoryDatabase;
use cairn::store::{BatchConfig, Batched, HostStore};
use cairn::{
    Domains, Flow, FlowError, Host, Identity, Plan, Report, Sqlite, SqliteConfig, Store,
    Submission, Value,
};
use cairn::{flow_request, volumes};
use serde::Serialize;

use crate::{BenchError, Case, native};

/// What does the work of a flow's tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tasks {
    /// The plugins.
    Plugins,
    /// Native code with the same effects.
    Native,
}

/// What flows are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// A SQLite database on disk.
    Sqlite,
    /// Tables in this process, without SQL and without a disk: what is left is the engine's.
    Memory,
}

/// What one flow is asked, and by whom.
pub struct Asked {
    requester: Identity,
    request: Value,
}

/// A host, the plan of a case, and what every flow is asked.
pub struct Stage {
    /// How its flows end.
    pub case: Case,
    /// The host.
    pub host: Host,
    /// The plan of its flows.
    pub plan: Plan,
    /// The plan with its tasks.
    pub ready: Arc<ReadyPlan>,
    /// Who asks.
    pub requester: Identity,
    /// What the flow is given.
    pub request: Value,
}

impl Stage {
    /// On a database on disk, which is made when it is not there. So many requests may wait for a worker.
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

    /// On a SQLite database in memory, which is gone with the stage.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn in_memory(case: Case, plugins: &Arc<Plugins>) -> Result<Self, BenchError> {
        let store = Sqlite::in_memory(config(case)?, Arc::new(SystemClock))?;
        Self::on(Arc::new(store), case, plugins, Tasks::Plugins, 1)
    }

    /// On [`Storage::Memory`].
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

    /// On a database on disk, whose batches are committed only when a flow waits for them.
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
            requester,
            request,
        })
    }

    /// What each of its flows is asked.
    pub fn ask(&self) -> Asked {
        Asked {
            requester: self.requester.clone(),
            request: self.request.clone(),
        }
    }

    /// Asks for one flow, and has `then` told what came of it.
    ///
    /// # Errors
    /// The host's.
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
    /// The store's.
    pub fn run_tasks(&self, tasks: &[ReadyTask], asked: Asked) -> Result<Report, HostError> {
        let flow = self.flow(tasks, asked)?;
        match flow.run() {
            Ok(()) | Err(FlowError::Failed(_)) => Ok(Report::new(flow.id(), &flow.history())),
            Err(error) => Err(HostError::Flow(error)),
        }
    }

    /// A flow of these tasks, in PENDING.
    ///
    /// # Errors
    /// None; that a task cannot be added to a flow that runs.
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

/// The request of a case, as the plan's action has it. Not every store runs the SQL that this takes.
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

/// Who asks for every flow.
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
