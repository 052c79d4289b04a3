//! The host: the one place that wires manifest, plugins, store and flows together.

mod planner;

pub use planner::Planner;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::capability::{Enforcer, Granted, Services};
use crate::error::Diagnostic;
use crate::flow::{Flow, FlowError, Recovery, TaskOptions};
use crate::id::{FlowId, Identity};
use crate::manifest::{Manifest, OnLost};
use crate::plan::{Plan, PlannedTask};
use crate::plugin::{Plugin, PluginError, PluginTask, Plugins};
use crate::policy::Policy;
use crate::report::Report;
use crate::store::{Sqlite, Store, StoreError};
use crate::task::{Task, TaskSpec};
use crate::value::{Digest, Value};

/// Where a volume goes when neither the request nor the operator says.
pub const DEFAULT_ZONE: &str = "nova";

/// The built-in plugin that is given the request itself.
const INJECT: &str = "inject";

/// Why the host could not do what it was asked. A flow that failed is no error: see its [`Report`].
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Something that was given to read is wrong; nothing ran.
    #[error("{0}")]
    Invalid(#[from] Diagnostic),
    /// The database.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The sandbox.
    #[error("{0}")]
    Plugin(#[from] PluginError),
    /// An operation that the flow's state does not allow.
    #[error("{0}")]
    Flow(FlowError),
}

/// A task of a plan and how it stands in a flow: what [`Flow::add_with`] takes.
pub type ReadyTask = (TaskOptions, Arc<dyn Task>);

/// What a host is made of.
pub struct HostBuilder {
    store: Arc<Sqlite>,
    planner: Planner,
    enforcer: Arc<dyn Enforcer>,
    default_zone: String,
    components: Option<PathBuf>,
}

impl HostBuilder {
    /// The plugins that a manifest may name as `builtin`.
    #[must_use]
    pub fn builtins(mut self, plugins: &[(&str, &'static [u8])]) -> Self {
        self.planner.extend(plugins);
        self
    }

    /// Who decides on policy; [`Policy::default`] unless another is named.
    #[must_use]
    pub fn enforcer(mut self, enforcer: Arc<dyn Enforcer>) -> Self {
        self.enforcer = enforcer;
        self
    }

    /// Where a volume goes when nobody says otherwise; [`DEFAULT_ZONE`] unless another is named.
    #[must_use]
    pub fn default_zone(mut self, zone: impl Into<String>) -> Self {
        self.default_zone = zone.into();
        self
    }

    /// A folder that keeps the components of stored plans, so that a flow reverts with the one it called with.
    #[must_use]
    pub fn components(mut self, folder: impl Into<PathBuf>) -> Self {
        self.components = Some(folder.into());
        self
    }

    /// The host.
    pub fn build(self) -> Host {
        Host {
            store: self.store,
            planner: self.planner,
            services: Arc::new(Services {
                enforcer: self.enforcer,
                default_zone: self.default_zone,
            }),
            components: self.components,
            kept: Mutex::new(HashSet::new()),
        }
    }
}

/// Runs flows from manifests, on one database.
pub struct Host {
    store: Arc<Sqlite>,
    planner: Planner,
    services: Arc<Services>,
    components: Option<PathBuf>,
    /// Plans that are in the store.
    kept: Mutex<HashSet<Digest>>,
}

/// A flow that is ready to run, and what it takes to run it again after its batch was lost.
pub struct Prepared {
    /// The flow.
    pub flow: Flow,
    plan: Plan,
}

impl Host {
    /// A host on this store.
    pub fn builder(store: Arc<Sqlite>, plugins: Arc<Plugins>) -> HostBuilder {
        Self::with_planner(store, Planner::new(plugins, &[]))
    }

    /// A host on this store, that runs what this planner plans.
    pub fn with_planner(store: Arc<Sqlite>, planner: Planner) -> HostBuilder {
        HostBuilder {
            store,
            planner,
            enforcer: Arc::new(Policy::default()),
            default_zone: DEFAULT_ZONE.to_owned(),
            components: None,
        }
    }

    /// The store.
    pub fn store(&self) -> &Arc<Sqlite> {
        &self.store
    }

    // ---- Plans ---------------------------------------------------------------------------------------------------

    /// Loads every plugin that a task of the manifest uses, asks each what it is, and wires the tasks. Nothing runs.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place in the manifest and the fix.
    pub fn plan(&self, manifest: &Manifest) -> Result<Plan, Diagnostic> {
        self.planner.plan(manifest)
    }

    /// The plan's tasks, ready to be added to a flow.
    ///
    /// # Errors
    /// [`HostError::Plugin`], or [`HostError::Invalid`] when a component of the plan is gone.
    pub fn tasks(&self, plan: &Plan) -> Result<Vec<ReadyTask>, HostError> {
        plan.tasks.iter().map(|task| self.task(task)).collect()
    }

    fn task(&self, planned: &PlannedTask) -> Result<ReadyTask, HostError> {
        let plugin = self.component(planned)?;
        let requires = planned.requires.iter().map(|(input, _)| input);
        let descriptor = plugin.describe(&planned.settings, &planned.limits)?;
        let spec = TaskSpec {
            name: planned.display.clone(),
            version: planned.version,
            ..TaskSpec::default()
        };
        let spec = spec
            .requires(requires)
            .optional(&descriptor.optional)
            .provides(&planned.provides);
        let granted = Granted {
            settings: Value::Object(planned.settings.clone()).to_string(),
            grants: planned.grants.clone(),
            limits: planned.limits.clone(),
            sees_request: planned.builtin.as_deref() == Some(INJECT),
        };
        let options = TaskOptions {
            call: planned.retry.clone(),
            revert: planned.revert.clone(),
            ..TaskOptions::default()
        };
        let task = PluginTask::new(spec, plugin, granted, Arc::clone(&self.services));
        Ok((options, Arc::new(task)))
    }

    /// The component of a planned task: one that is loaded, one that was kept, or a built-in one with this digest.
    fn component(&self, planned: &PlannedTask) -> Result<Arc<Plugin>, HostError> {
        if let Some(plugin) = self.planner.plugins.loaded(planned.digest) {
            return Ok(plugin);
        }
        if let Some(folder) = &self.components
            && let Ok(bytes) = fs::read(component_path(folder, planned.digest))
            && Digest::of(&bytes) == planned.digest
        {
            return Ok(self.planner.plugins.load(&bytes)?);
        }
        if let Some(bytes) = self.planner.builtin(planned.digest) {
            return Ok(self.planner.plugins.load(bytes)?);
        }
        let message = format!(
            "the component of task `{}` is gone: no file has the digest {}",
            planned.name, planned.digest
        );
        Err(Diagnostic::new(message).into())
    }

    /// Keeps a plan and its components, once, before a flow runs by it.
    fn keep(&self, plan: &Plan) -> Result<Digest, HostError> {
        let digest = plan.digest();
        if self
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&digest)
        {
            return Ok(digest);
        }
        if let Some(folder) = &self.components {
            for task in &plan.tasks {
                let plugin = self.component(task)?;
                keep_component(folder, &plugin).map_err(|error| {
                    StoreError::Database(format!("{}: {error}", folder.display()))
                })?;
            }
        }
        let body =
            serde_json::to_string(plan).map_err(|error| StoreError::Database(error.to_string()))?;
        let nobody = Identity::default();
        self.store
            .admin(&nobody, |admin| admin.put_plan(digest, &body))?;
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(digest);
        Ok(digest)
    }

    // ---- Flows ---------------------------------------------------------------------------------------------------

    /// A flow of this plan, in PENDING.
    ///
    /// # Errors
    /// [`HostError::Store`] when the plan cannot be kept; those of [`tasks`](Self::tasks).
    pub fn prepare(
        &self,
        plan: &Plan,
        requester: Identity,
        request: Value,
    ) -> Result<Prepared, HostError> {
        let digest = self.keep(plan)?;
        let store: Arc<dyn Store> = Arc::clone(&self.store) as _;
        let flow = Flow::builder(&plan.name)
            .requester(requester)
            .request(request)
            .plan(digest)
            .build(store);
        for (options, task) in self.tasks(plan)? {
            flow.add_with(task, options).map_err(HostError::Flow)?;
        }
        Ok(Prepared {
            flow,
            plan: plan.clone(),
        })
    }

    /// Runs a flow to its end. A batch that is lost under it is made good as after a crash: the flow goes on, or is rolled
    /// back, from what is on disk.
    ///
    /// # Errors
    /// [`HostError::Store`] when nothing of the flow is left, or the database cannot be used any more.
    pub fn run(&self, prepared: &Prepared) -> Result<Report, HostError> {
        let flow = &prepared.flow;
        match flow.run() {
            Ok(()) | Err(FlowError::Failed(_) | FlowError::MissingDependencies(_)) => {
                Ok(Report::new(flow.id(), &flow.history()))
            }
            Err(FlowError::Store(error @ StoreError::Lost(_))) => {
                tracing::warn!(flow = %flow.id(), %error, "taking the flow up from what is on disk");
                match self.take_up(flow.id(), &prepared.plan) {
                    // Nothing of it is there: as if it had never been asked for.
                    Err(HostError::Store(StoreError::UnknownFlow(_))) => Err(error.into()),
                    other => other,
                }
            }
            Err(FlowError::Store(error)) => Err(error.into()),
            Err(error) => Err(HostError::Flow(error)),
        }
    }

    /// Takes up a flow from what is on disk: what a call in hand did is undone, then the flow goes on or is rolled back,
    /// as its plan says.
    fn take_up(&self, id: FlowId, plan: &Plan) -> Result<Report, HostError> {
        let flow = self.restore(id, plan)?;
        let how = match plan.on_lost {
            OnLost::Rollback => Recovery::Rollback,
            OnLost::Resume => Recovery::Resume,
        };
        match flow.recover(how) {
            Ok(()) | Err(FlowError::Failed(_) | FlowError::MissingDependencies(_)) => {
                Ok(Report::new(id, &flow.history()))
            }
            Err(FlowError::Store(error)) => Err(error.into()),
            Err(error) => Err(HostError::Flow(error)),
        }
    }

    /// A flow as its journal has it, with the tasks of its plan.
    fn restore(&self, id: FlowId, plan: &Plan) -> Result<Flow, HostError> {
        let journal = self.store.load(id)?;
        let store: Arc<dyn Store> = Arc::clone(&self.store) as _;
        let flow = Flow::restore(id, store, &journal).map_err(HostError::Flow)?;
        let history = flow.history();
        for (options, task) in self.tasks(plan)? {
            let known = history
                .tasks
                .iter()
                .find(|known| known.name == task.spec().name);
            let options = TaskOptions {
                id: known.map(|known| known.id),
                ..options
            };
            flow.add_with(task, options).map_err(HostError::Flow)?;
        }
        Ok(flow)
    }
}

fn component_path(folder: &Path, digest: Digest) -> PathBuf {
    folder.join(format!("{digest}.wasm"))
}

/// Writes a component under its digest, whole or not at all.
fn keep_component(folder: &Path, plugin: &Plugin) -> std::io::Result<()> {
    let path = component_path(folder, plugin.digest());
    if path.exists() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    let temporary = folder.join(format!(".{}", FlowId::new()));
    fs::write(&temporary, plugin.bytes())?;
    fs::File::open(&temporary)?.sync_all()?;
    fs::rename(&temporary, &path)
}
