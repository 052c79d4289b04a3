//! A host on a new database, ready to run flows of one case.

use std::path::Path;
use std::sync::Arc;

use cairn::clock::SystemClock;
use cairn::host::{HostError, ReadyTask};
use cairn::plugin::Plugins;
use cairn::value::Digest;
use cairn::{Flow, FlowError, Host, Identity, Plan, Report, Sqlite, SqliteConfig, Store, Value};

use crate::{BenchError, Case};

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
    pub host: Arc<Host>,
    /// The plan of its flows.
    pub plan: Arc<Plan>,
    digest: Digest,
    /// Who asks.
    pub requester: Identity,
    /// What the flow is given.
    pub request: Value,
}

impl Stage {
    /// On a database on disk, which is made when it is not there.
    ///
    /// # Errors
    /// [`BenchError`] of the store, of the sandbox and of the plan.
    pub fn open(path: &Path, case: Case, plugins: &Arc<Plugins>) -> Result<Self, BenchError> {
        let store = Sqlite::open(path, config(case), Arc::new(SystemClock))?;
        Self::on(store, case, plugins)
    }

    /// On a database that is gone with the stage.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn in_memory(case: Case, plugins: &Arc<Plugins>) -> Result<Self, BenchError> {
        let store = Sqlite::in_memory(config(case), Arc::new(SystemClock))?;
        Self::on(store, case, plugins)
    }

    fn on(store: Sqlite, case: Case, plugins: &Arc<Plugins>) -> Result<Self, BenchError> {
        let host = Host::builder(Arc::new(store), Arc::clone(plugins))
            .builtins(&Case::plugins())
            .build();
        let plan = host.plan(&case.manifest()?)?;
        let requester = requester();
        let mut request = Err(BenchError::Unexpected(
            "the request was not read".to_owned(),
        ));
        host.store().read(&requester, |view| {
            request = cairn::request::resolve(plan.action.as_deref(), &case.request(), None, view)
                .map_err(BenchError::from);
            Ok(())
        })?;
        Ok(Self {
            case,
            host: Arc::new(host),
            digest: plan.digest(),
            plan: Arc::new(plan),
            requester,
            request: request?,
        })
    }

    /// What each of its flows is asked.
    pub fn ask(&self) -> Asked {
        Asked {
            requester: self.requester.clone(),
            request: self.request.clone(),
        }
    }

    /// Runs one flow of plugins to its end. How flows reach the host is decided here and nowhere else.
    ///
    /// # Errors
    /// The host's.
    pub fn run_plugins(&self, asked: Asked) -> Result<Report, HostError> {
        let prepared = self
            .host
            .prepare(&self.plan, asked.requester, asked.request)?;
        self.host.run(&prepared)
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
            .plan(self.digest)
            .build(store);
        for (options, task) in tasks {
            flow.add_with(Arc::clone(task), options.clone())
                .map_err(HostError::Flow)?;
        }
        Ok(flow)
    }
}

/// Who asks for every flow.
pub(crate) fn requester() -> Identity {
    Identity::new("demo", "demo")
}

fn config(case: Case) -> SqliteConfig {
    SqliteConfig {
        quota: case.quota(),
        ..SqliteConfig::default()
    }
}
