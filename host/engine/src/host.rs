//! The host: connects manifests, plugins, store and flows.

mod admission;
mod callback;
mod caller;
mod error;
mod forward;
mod keeper;
mod keys;
mod lane_count;
mod lanes;
mod native;
mod operations;
mod planner;
mod plans;
mod pool;
mod providers;
mod recovery;
mod schemas;
mod sharing;
mod sleepers;
mod source;
mod submit;
mod territory;
#[cfg(test)]
mod tests;

pub use error::{Hindrance, HostError};
pub use operations::Dispatched;
pub use planner::Planner;
pub use plans::{ReadyPlan, ReadyTask};
pub use recovery::Recovered;
pub use submit::{Submission, Submitted};

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use cairn_deliver::{Dispatcher, Limits, Transport, Unsent};
use cairn_effects::external::External;
use cairn_effects::outbox::Outgoing;
use cairn_effects::report::Report;
use cairn_effects::task::Task;
use cairn_manifest::manifest::Manifest;
use cairn_manifest::plan::{Plan, PlannedTask};
use cairn_model::error::Diagnostic;
use cairn_model::id::FlowId;
use cairn_model::secret::{NoSecrets, Secrets};
use cairn_model::trace::Sample;
use cairn_model::value::Digest;
use cairn_policy::Policy;
use cairn_sandbox::admission::RulePlugins;
use cairn_sandbox::capability::{Enforcer, Services, Surroundings};
use cairn_sandbox::plugin::Plugins;
use cairn_store::observer::Observer;
use cairn_store::{HostStore, Store};

use crate::flow::{Flow, FlowError, Lanes, Provider, Providers};

use keeper::Keeper;
use lanes::HostLanes;
use pool::Pool;
use sleepers::Sleepers;
use territory::Territory;

/// Submitted requests that may wait for a worker, by default.
const QUEUE: usize = 1_000;

/// Replaces a planned task, or wraps it.
type Interceptor = dyn Fn(&PlannedTask, Arc<dyn Task>) -> Arc<dyn Task> + Send + Sync;

/// Builder of a [`Host`].
pub struct HostBuilder {
    store: Arc<dyn HostStore>,
    planner: Planner,
    enforcer: Arc<dyn Enforcer>,
    surroundings: Option<Surroundings>,
    interceptor: Option<Box<Interceptor>>,
    workers: Option<usize>,
    queue: usize,
    delivers: Option<(Box<dyn Transport>, Limits)>,
    traces: Option<(Arc<dyn Observer>, Sample)>,
    shares: bool,
    wakes: bool,
    providers: Providers,
    secrets: Arc<dyn Secrets>,
}

impl HostBuilder {
    /// Adds the plugins that a manifest may name as `builtin`.
    #[must_use]
    pub fn builtins(mut self, plugins: &[(&str, &'static [u8])]) -> Self {
        self.planner.extend(plugins);
        self
    }

    /// Adds a task in native code: see [`Planner::native`].
    #[must_use]
    pub fn native(mut self, task: Arc<dyn Task>) -> Self {
        self.planner = self.planner.native(task);
        self
    }

    /// Adds a provider of objects outside the database in native code, under this name. Tasks in native code may use it.
    #[must_use]
    pub fn external(mut self, name: &str, external: Arc<dyn External>) -> Self {
        let digest = Digest::of(name.as_bytes());
        let provider = Provider { external, digest };
        self.providers.insert(name.to_owned(), provider);
        self
    }

    /// Sets the operator's rules; [`Policy::default`] without this call. Plans include the plugins that the rules ask.
    #[must_use]
    pub fn policy(mut self, policy: Arc<Policy>) -> Self {
        self.planner = self.planner.policy(Arc::clone(&policy));
        self.enforcer = policy;
        self
    }

    /// Sets an enforcer in place of [`policy`](Self::policy). The [`Planner`] must be told which plugins its rules ask.
    #[must_use]
    pub fn enforcer(mut self, enforcer: Arc<dyn Enforcer>) -> Self {
        self.enforcer = enforcer;
        self
    }

    /// Sets the secrets that plugins may be granted; without this call there are none.
    #[must_use]
    pub fn secrets(mut self, secrets: Arc<dyn Secrets>) -> Self {
        self.secrets = secrets;
        self
    }

    /// Sets the clocks and the randomness that plugins see, in place of the machine's. For tests: the values are the same each
    /// time, so they are not secret.
    #[must_use]
    pub fn surroundings(mut self, surroundings: Surroundings) -> Self {
        self.surroundings = Some(surroundings);
        self
    }

    /// Passes every task of a plan through `interceptor`, once; the returned task is called instead, in recovery too. Use it to
    /// measure tasks, or to run some in native code.
    #[must_use]
    pub fn intercept(
        mut self,
        interceptor: impl Fn(&PlannedTask, Arc<dyn Task>) -> Arc<dyn Task> + Send + Sync + 'static,
    ) -> Self {
        self.interceptor = Some(Box::new(interceptor));
        self
    }

    /// Sets how many tasks run at once; by default the number of cores, and at least two. While calls are short, a worker
    /// begins several flows and switches between them after a task.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers.max(1));
        self
    }

    /// Sets how many submitted requests may wait for a worker before [`Host::submit`] blocks; 1,000 by default.
    #[must_use]
    pub fn queue(mut self, requests: usize) -> Self {
        self.queue = requests.max(1);
        self
    }

    /// Takes a fair share of all projects while the host lives, where several hosts share a database; not by default. A host that shares
    /// also runs the flows that other hosts ask for, and takes over those of hosts that died. Any other host owns only the projects of its
    /// own flows.
    #[must_use]
    pub fn share(mut self, shares: bool) -> Self {
        self.shares = shares;
        self
    }

    /// Wakes flows that sleep when they are due, while the host lives; not by default. Where several hosts share a database, those of the
    /// projects that this host owns. Any other host wakes only flows whose callers wait.
    #[must_use]
    pub fn wake(mut self, wakes: bool) -> Self {
        self.wakes = wakes;
        self
    }

    /// Delivers messages by this transport while the host lives, within these limits. The domains of the store must have been
    /// [given](cairn_effects::domain::Domains::with) an [`Outgoing`].
    #[must_use]
    pub fn deliver(mut self, transport: Box<dyn Transport>, limits: Limits) -> Self {
        self.delivers = Some((transport, limits));
        self
    }

    /// Records traces by this observer of the store. A request that names no trace then begins one, which is recorded if the sample takes it, and
    /// which plugins' requests and messages pass on.
    #[must_use]
    pub fn trace(mut self, observer: Arc<dyn Observer>, sample: Sample) -> Self {
        self.traces = Some((observer, sample));
        self
    }

    /// Builds the host. Flows that a dead process left behind are recovered by [`Host::recover`].
    ///
    /// # Errors
    /// [`HostError::Store`] when the writes of other processes cannot be watched; [`HostError::Invalid`] when the master key is not that
    /// of the database.
    pub fn build(self) -> Result<Host, HostError> {
        keys::check(&*self.store)?;
        let traces = self.traces.map(|(observer, sample)| {
            self.store.observe(observer);
            sample
        });
        let dispatcher = match self.delivers {
            Some((transport, limits)) => {
                if self.store.domains().services().get::<Outgoing>().is_none() {
                    let message = "the store lets no messages go to a transport";
                    let help = "open it with `Domains::with(Outgoing { .. })`";
                    return Err(Diagnostic::new(message).help(help).into());
                }
                Some(Dispatcher::start(&self.store, transport, limits)?)
            }
            None => None,
        };
        // More workers would only wait for each other: a flow that waits for the disk holds none.
        let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
        let domains = self.store.domains().clone();
        let territory = self.store.shared().map(|_| Territory::new());
        let core = Arc::new(Core {
            dispatcher,
            store: self.store,
            planner: self.planner,
            services: Arc::new(Services {
                enforcer: self.enforcer,
                domains,
                surroundings: self.surroundings,
                rule_plugins: RulePlugins::default(),
                secrets: self.secrets,
            }),
            interceptor: self.interceptor,
            ready: Mutex::default(),
            live: Mutex::default(),
            stopping: AtomicBool::new(false),
            traces,
            pool: Pool::new(self.workers.unwrap_or(cores), self.queue),
            keeper: Arc::default(),
            territory,
            shares: self.shares,
            sleepers: Sleepers::default(),
            wakes: self.wakes,
            providers: Arc::new(self.providers),
            lanes: OnceLock::new(),
        });
        let lanes: Arc<dyn Lanes> = Arc::new(HostLanes(Arc::downgrade(&core)));
        // It is new.
        let _ = core.lanes.set(lanes);
        let keeper = keeper::thread::start(&core)?;
        Ok(Host {
            core,
            keeper: Some(keeper),
        })
    }
}

/// Runs flows from manifests, on one database.
///
/// Dropping it finishes the flows that run, and does not start the requests that wait.
pub struct Host {
    core: Arc<Core>,
    keeper: Option<std::thread::JoinHandle<()>>,
}

/// State shared by a host's threads.
struct Core {
    /// Dropped before the store: the connection that is closed last must be the store's.
    dispatcher: Option<Dispatcher>,
    store: Arc<dyn HostStore>,
    planner: Planner,
    services: Arc<Services>,
    interceptor: Option<Box<Interceptor>>,
    /// Plans that are in the store, with their tasks.
    ready: Mutex<HashMap<Digest, Arc<ReadyPlan>>>,
    /// Flows that this process works on.
    live: Mutex<HashMap<FlowId, operations::ActiveFlow>>,
    /// No more flows are started.
    stopping: AtomicBool,
    /// Which of the traces that begin here are recorded; `None` if none are, and none begins here.
    traces: Option<Sample>,
    pool: Pool,
    keeper: Arc<Keeper>,
    /// Which projects this host takes flows of, where several hosts share the database.
    territory: Option<Arc<Territory>>,
    /// Whether it takes a fair share of them.
    shares: bool,
    sleepers: Sleepers,
    /// Whether it wakes all flows that are due.
    wakes: bool,
    providers: Arc<Providers>,
    /// Where acts of its flows run; set when it is built.
    lanes: OnceLock<Arc<dyn Lanes>>,
}

impl Host {
    /// Starts building a host on this store.
    pub fn builder(store: Arc<dyn HostStore>, plugins: Arc<Plugins>) -> HostBuilder {
        Self::with_planner(store, Planner::new(plugins, &[]))
    }

    /// Starts building a host on this store with this planner.
    pub fn with_planner(store: Arc<dyn HostStore>, planner: Planner) -> HostBuilder {
        HostBuilder {
            store,
            planner,
            enforcer: Arc::new(Policy::default()),
            surroundings: None,
            interceptor: None,
            workers: None,
            queue: QUEUE,
            delivers: None,
            traces: None,
            shares: false,
            wakes: false,
            providers: Providers::new(),
            secrets: Arc::new(NoSecrets),
        }
    }

    /// Returns the store.
    pub fn store(&self) -> &Arc<dyn HostStore> {
        &self.core.store
    }

    /// Loads every plugin that a task of the manifest uses, reads its description, and wires the tasks. Runs no task.
    ///
    /// # Errors
    /// The first problem, with its place in the manifest and the fix.
    pub fn plan(&self, manifest: &Manifest) -> Result<Plan, Diagnostic> {
        self.core.planner.plan(manifest)
    }

    /// Stores the plan, and prepares its tasks: flows are made from the result.
    ///
    /// # Errors
    /// [`HostError::Store`] when the plan cannot be stored, [`HostError::Plugin`], or [`HostError::Invalid`] when a component
    /// of the plan is gone.
    pub fn ready(&self, plan: &Plan) -> Result<Arc<ReadyPlan>, HostError> {
        self.core.ready(plan)
    }

    /// Loads a plan that was stored, and prepares its tasks.
    ///
    /// # Errors
    /// Those of [`ready`](Self::ready); [`HostError::Invalid`] also when no plan with this digest is stored.
    pub fn stored(&self, plan: Digest) -> Result<Arc<ReadyPlan>, HostError> {
        self.core.stored(plan)
    }

    /// Reads the report of a flow from the database, in any state.
    ///
    /// # Errors
    /// [`HostError::Store`] with [`StoreError::UnknownFlow`](cairn_store::StoreError::UnknownFlow) when there is no such flow, or
    /// [`StoreError::Damaged`](cairn_store::StoreError::Damaged).
    pub fn report(&self, flow: FlowId) -> Result<Report, HostError> {
        self.core.report_on_disk(flow)
    }

    /// Returns how many submitted requests wait or run.
    pub fn unfinished(&self) -> usize {
        self.core.pool.unfinished()
    }

    /// Waits until the messages of ended flows are delivered, but not longer than `patience`, and returns what is left; nothing of a host
    /// without a transport. See [`Dispatcher::settle`].
    pub fn settle(&self, patience: Duration) -> Unsent {
        let dispatcher = self.core.dispatcher.as_ref();
        dispatcher.map_or_else(Unsent::default, |dispatcher| dispatcher.settle(patience))
    }

    /// Stops starting flows: running flows continue to their end, waiting requests get [`HostError::NotStarted`], and flows that sleep stay
    /// asleep: their callers get the report as it is.
    pub fn drain(&self) {
        self.core.stopping.store(true, Ordering::SeqCst);
        self.core.leave_asleep(true);
    }

    /// [Drains](Self::drain) the host, and interrupts every flow that runs here. Callers wait no longer for flows of other hosts: a request
    /// that no host has begun is withdrawn and gets [`HostError::NotStarted`], and that of a flow which goes on gets [`HostError::GoesOn`].
    pub fn stop(&self) {
        self.drain();
        let live: Vec<Flow> = {
            let live = self.core.active();
            live.values().filter_map(|live| live.flow.clone()).collect()
        };
        for flow in live.into_iter().filter(|flow| !flow.sleeps()) {
            if let Err(error) = flow.interrupt() {
                tracing::debug!(flow = %flow.id(), %error, "the flow was not interrupted");
            }
        }
        self.core.keeper.give_up();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.drain();
        self.core.pool.close();
        self.core.keeper.close();
        // A callback that drops the host may run on the keeper itself, which cannot join itself.
        let own = std::thread::current().id();
        let keeper = self.keeper.take();
        let keeper = keeper.filter(|keeper| keeper.thread().id() != own);
        if let Some(keeper) = keeper
            && keeper.join().is_err()
        {
            tracing::error!("the thread that keeps up with other processes panicked");
        }
    }
}

impl Core {
    fn active(&self) -> MutexGuard<'_, HashMap<FlowId, operations::ActiveFlow>> {
        self.live.lock()
    }

    /// Creates the report of a flow, once its result is durable.
    fn report(&self, flow: &Flow, result: Result<(), FlowError>) -> Result<Report, HostError> {
        match result {
            Ok(()) | Err(FlowError::Failed(_) | FlowError::MissingDependencies(_)) => {
                Ok(flow.with_history(|history| Report::new(flow.id(), history)))
            }
            Err(error) => Err(HostError::of_operation(error)),
        }
    }

    /// Says that flows have ended, and are on disk.
    fn wake_dispatcher(&self) {
        if let Some(dispatcher) = &self.dispatcher {
            dispatcher.wake();
        }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as _
    }
}
