use std::path::PathBuf;
use std::sync::Arc;

use cairn_effects::report::Report;
use cairn_engine::host::{Host, HostError, ReadyPlan, Submission, Submitted};
use cairn_manifest::plan::Plan;
use cairn_model::id::Identity;
use cairn_model::value::Value;
use cairn_store::flow_request::{self, Entered};

/// The flow of a manifest, with its plugins loaded and checked and its tasks wired. Cheap to clone; threads may share it.
#[derive(Clone)]
pub struct PlannedFlow {
    host: Arc<Host>,
    plan: Arc<Plan>,
    ready: Arc<ReadyPlan>,
    file: PathBuf,
}

impl PlannedFlow {
    pub(crate) fn new(host: Arc<Host>, plan: Plan, file: PathBuf) -> Result<Self, HostError> {
        let ready = host.ready(&plan)?;
        Ok(Self {
            host,
            plan: Arc::new(plan),
            ready,
            file,
        })
    }

    /// Returns the plan: tasks, wiring, grants, and [warnings](Plan::warnings).
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Runs a flow for `requester`, and waits until its end is on disk. A flow that fails is not an `Err`: its report has the error and
    /// the verdict of the rollback.
    ///
    /// # Errors
    /// [`HostError::Invalid`] for a request that is no JSON object, or that the domain of the flow's action refuses;
    /// [`HostError::Store`]; [`HostError::NotStarted`].
    pub fn run(&self, requester: &Identity, request: Value) -> Result<Report, HostError> {
        self.submit(requester, request, None)?.wait()
    }

    /// Queues a request, whose flow runs when a worker is free; waits while the [queue](crate::CairnBuilder::queue) is full.
    ///
    /// `key` is an idempotency key: while it is [kept](cairn_model::idempotency), the same request under the same key, for the same
    /// project, returns the report of the first one and starts no flow.
    ///
    /// # Errors
    /// Those of [`run`](Self::run) that occur before the flow runs; [`HostError::Invalid`] also for a key that is empty or too long.
    /// [`Submitted::wait`] returns [`HostError::KeyReused`] when the key was used for another request.
    pub fn submit(
        &self,
        requester: &Identity,
        request: Value,
        key: Option<&str>,
    ) -> Result<Submitted, HostError> {
        let entered = self.enter(requester, &request, key)?;
        self.host.submit(Submission {
            plan: Arc::clone(&self.ready),
            requester: requester.clone(),
            request: entered.request,
            key: entered.key,
        })
    }

    /// Turns a raw request into the flow's. Reads the database only when a domain looks up names in the request.
    fn enter(
        &self,
        requester: &Identity,
        request: &Value,
        key: Option<&str>,
    ) -> Result<Entered, HostError> {
        let Plan { name, action, .. } = &*self.plan;
        let (action, store) = (action.as_deref(), self.host.store());
        if let Some(entered) =
            flow_request::enter_alone(name, action, request, key, store.domains())?
        {
            return Ok(entered);
        }
        store.try_read(requester, |view| {
            Ok(flow_request::enter(name, action, request, key, None, view)?)
        })
    }
}

impl std::fmt::Debug for PlannedFlow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlannedFlow")
            .field("name", &self.plan.name)
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}
