//! Plans with their tasks, made from a manifest or from the store.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::MutexGuard;

use cairn_effects::event::{Entry, Event};
use cairn_effects::task::{Task, TaskSpec};
use cairn_manifest::manifest::OnLost;
use cairn_manifest::plan::{Plan, PlannedAdmission, PlannedStep, PlannedTask};
use cairn_model::crash::{CrashPoint, reach};
use cairn_model::error::{Diagnostic, TaskError};
use cairn_model::id::{FlowId, Identity};
use cairn_model::value::{Digest, Value};
use cairn_sandbox::admission::Admission;
use cairn_sandbox::capability::{Granted, Services};
use cairn_sandbox::plugin::{Plugin, PluginTask};
use cairn_store::{Component, StoreError};

use super::admission::{admission, rule_plugins};
use super::{Core, HostError};
use crate::flow::{self, Flow, FlowBuilder, Providers, TaskOptions};

/// The built-in plugin that sees the request.
const INJECT: &str = "inject";

/// A task of a plan and its options: the arguments of [`Flow::add_with`].
pub type ReadyTask = (TaskOptions, Arc<dyn Task>);

/// A stored plan with its tasks.
pub struct ReadyPlan {
    digest: Digest,
    name: String,
    action: Option<String>,
    on_lost: OnLost,
    admission: Option<Arc<Admission>>,
    providers: Arc<Providers>,
    tasks: Vec<ReadyTask>,
    services: Arc<Services>,
    /// Whether rules of its flows ask plugins.
    asks_plugins: bool,
    /// Whether any host can make its tasks from what is stored: none is native.
    is_portable: bool,
}

impl ReadyPlan {
    pub(super) fn is_portable(&self) -> bool {
        self.is_portable
    }

    /// Returns the plan's digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns the name of the plan's flows.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the action whose rule decides who may run its flows.
    pub fn action(&self) -> Option<&str> {
        self.action.as_deref()
    }

    /// Returns whether rules of this plan's flows ask plugins.
    pub fn asks_plugins(&self) -> bool {
        self.asks_plugins
    }

    /// Checks that a caller may begin a flow of this plan in the caller's project, by the operator's rule for the plan's action. A flow of a
    /// plan without an action is begun by admins alone. Runs the plugins that the rule asks.
    ///
    /// # Errors
    /// `PolicyNotAuthorized` with the action; `AdminRequired`.
    pub fn authorize(&self, requester: &Identity) -> Result<(), TaskError> {
        let Some(action) = self.action() else {
            if requester.is_admin {
                return Ok(());
            }
            let message = format!(
                "only an admin may begin the flow `{}`, whose manifest names no action",
                self.name
            );
            return Err(TaskError::new("AdminRequired", message));
        };
        let target = [
            ("project_id", &requester.project_id),
            ("user_id", &requester.user_id),
        ];
        let target = target.map(|(key, value)| (key.to_owned(), value.as_str().into()));
        let log = |plugin: &str, level, message| {
            tracing::info!(plugin, ?level, message, "a rule's plugin says");
        };
        let asks = self.services.rule_plugins.on_behalf_of(requester, &log);
        (self.services.enforcer).enforce(requester, action, &target.into_iter().collect(), &asks)
    }

    /// Returns the plan's tasks, in order.
    pub fn tasks(&self) -> &[ReadyTask] {
        &self.tasks
    }
}

impl Core {
    fn ready_plans(&self) -> MutexGuard<'_, std::collections::HashMap<Digest, Arc<ReadyPlan>>> {
        self.ready.lock()
    }

    /// Stores a plan and its components, once, before a flow runs by it.
    pub(super) fn ready(&self, plan: &Plan) -> Result<Arc<ReadyPlan>, HostError> {
        let digest = plan.digest();
        if let Some(ready) = self.ready_plans().get(&digest) {
            return Ok(Arc::clone(ready));
        }
        for task in plan.plugin_tasks() {
            self.check_grants(task)?;
        }
        let body =
            serde_json::to_string(plan).map_err(|error| StoreError::Database(error.to_string()))?;
        let mut plugins = BTreeMap::new();
        for (digest, whose) in plan.components() {
            if self.planner.native_of(digest).is_none() && !plugins.contains_key(&digest) {
                plugins.insert(digest, self.component(digest, &whose)?);
            }
        }
        let components = plugins.iter().map(|(digest, plugin)| Component {
            digest: *digest,
            bytes: plugin.bytes(),
        });
        let components: Vec<_> = components.collect();
        self.store.keep_plan(digest, &body, &components)?;
        reach(CrashPoint::PlanKept);
        self.make_ready(digest, plan)
    }

    /// Loads the plan with this digest from the store.
    pub(super) fn stored(&self, digest: Digest) -> Result<Arc<ReadyPlan>, HostError> {
        if let Some(ready) = self.ready_plans().get(&digest) {
            return Ok(Arc::clone(ready));
        }
        let body = self.store.plan(digest)?;
        let body =
            body.ok_or_else(|| Diagnostic::new(format!("its plan {digest} is not stored")))?;
        let plan: Plan = serde_json::from_str(&body)
            .map_err(|error| Diagnostic::new(format!("its plan {digest} is damaged: {error}")))?;
        self.make_ready(digest, &plan)
    }

    fn make_ready(&self, digest: Digest, plan: &Plan) -> Result<Arc<ReadyPlan>, HostError> {
        let find = |planned: &PlannedAdmission| {
            self.component(planned.digest, &format!("`{}`", planned.plugin))
        };
        let services = match plan.rule_plugins.is_empty() {
            true => Arc::clone(&self.services),
            false => Arc::new(Services {
                enforcer: Arc::clone(&self.services.enforcer),
                domains: self.services.domains.clone(),
                surroundings: self.services.surroundings,
                rule_plugins: rule_plugins(plan, &find, &self.planner, &self.services)?,
                secrets: Arc::clone(&self.services.secrets),
            }),
        };
        let tasks = plan.tasks.iter().map(|step| match step {
            PlannedStep::Task(task) => self.task(task, &services),
            PlannedStep::Wait(wait) => Ok(flow::waiting(&wait.display, &wait.wait)),
        });
        let providers = self.plan_providers(plan, &services)?;
        let asks_none = plan.policies.is_empty() && plan.validators.is_empty();
        let admission = match asks_none {
            true => None,
            false => Some(Arc::new(admission(
                plan,
                &find,
                &self.planner,
                &self.services,
            )?)),
        };
        let ready = Arc::new(ReadyPlan {
            digest,
            name: plan.name.clone(),
            action: plan.action.clone(),
            on_lost: plan.on_lost,
            admission,
            providers: Arc::new(providers),
            tasks: tasks.collect::<Result<_, _>>()?,
            services: Arc::clone(&services),
            asks_plugins: !plan.rule_plugins.is_empty(),
            is_portable: plan
                .components()
                .all(|(digest, _)| self.planner.native_of(digest).is_none()),
        });
        self.ready_plans().insert(digest, Arc::clone(&ready));
        Ok(ready)
    }

    /// Returns the providers of a plan, and those of this program in native code.
    fn plan_providers(
        &self,
        plan: &Plan,
        services: &Arc<Services>,
    ) -> Result<Providers, HostError> {
        let mut providers = Providers::clone(&self.providers);
        for (name, planned) in &plan.externals {
            let plugin = self.component(planned.digest, &format!("provider `{name}`"))?;
            let provider = self.planner.provider(name, planned, plugin, services)?;
            providers.insert(name.clone(), provider);
        }
        Ok(providers)
    }

    fn task(
        &self,
        planned: &PlannedTask,
        services: &Arc<Services>,
    ) -> Result<ReadyTask, HostError> {
        self.check_grants(planned)?;
        let whose = format!("task `{}`", planned.name);
        let task = match self.planner.native_of(planned.digest) {
            Some(native) => native.planned(spec(planned, native.optional())),
            None => self.plugin_task(planned, &whose, services)?,
        };
        let task = match &self.interceptor {
            Some(interceptor) => interceptor(planned, task),
            None => task,
        };
        let options = TaskOptions {
            call: planned.retry.clone(),
            revert: planned.revert.clone(),
            pivot: planned.pivot,
            ..TaskOptions::default()
        };
        Ok((options, task))
    }

    /// Refuses a task that is granted a capability that is not registered.
    fn check_grants(&self, planned: &PlannedTask) -> Result<(), Diagnostic> {
        let Some(capability) = planned.grants.unregistered(self.planner.kinds()) else {
            return Ok(());
        };
        Err(Diagnostic::new(format!(
            "task `{}` is granted `{}`, a capability that this host does not have",
            planned.name,
            capability.escape_debug()
        )))
    }

    fn plugin_task(
        &self,
        planned: &PlannedTask,
        whose: &str,
        services: &Arc<Services>,
    ) -> Result<Arc<dyn Task>, HostError> {
        if let (0, Some(name)) = (planned.size, &planned.builtin) {
            let message = format!(
                "{whose} is the native task `{name}`, which this program does not have, or which takes and gives other values here"
            );
            return Err(Diagnostic::new(message).into());
        }
        let kinds = self.planner.kinds();
        let plugin = self.component(planned.digest, whose)?;
        let limits = self.planner.limits_today(&planned.limits, whose);
        // Fails, before the flow is changed, if the plugin cannot run within the current limits.
        let descriptor = plugin.describe(&planned.settings, &limits)?;
        let granted = Granted {
            settings: Value::Object(planned.settings.clone()).to_string(),
            // The plan may be older than the operator's current grants.
            grants: self.planner.allow.narrow(
                planned.builtin.as_deref(),
                planned.digest,
                &planned.grants,
                kinds,
            ),
            limits,
            sees_request: planned.builtin.as_deref() == Some(INJECT),
        };
        let spec = spec(planned, &descriptor.optional);
        let task = PluginTask::new(spec, plugin, granted, Arc::clone(services));
        Ok(Arc::new(task))
    }

    /// Finds a component of a plan: loaded, built in, or stored.
    pub(super) fn component(&self, digest: Digest, whose: &str) -> Result<Arc<Plugin>, HostError> {
        let stored = |digest| self.store.component(digest);
        self.planner.find(digest, whose, stored)
    }

    /// Builds a flow of a plan.
    pub(super) fn build(&self, flow: FlowBuilder, ready: &ReadyPlan) -> Result<Flow, HostError> {
        let flow = flow.plan(ready.digest).build(self.store());
        self.equip(&flow, ready);
        for (options, task) in &ready.tasks {
            flow.add_with(Arc::clone(task), options.clone())
                .map_err(HostError::Flow)?;
        }
        Ok(flow)
    }

    fn equip(&self, flow: &Flow, ready: &ReadyPlan) {
        flow.set_admission(ready.admission.clone());
        flow.set_providers(Arc::clone(&ready.providers));
        if let Some(lanes) = self.lanes.get() {
            flow.set_lanes(Arc::clone(lanes));
        }
    }

    /// Restores a flow from its journal, with the tasks of its plan; also returns how recovery treats it. This process owns the
    /// flow afterwards.
    pub(super) fn restore(&self, id: FlowId) -> Result<(Flow, OnLost), HostError> {
        let journal = self.store.load(id)?;
        // An interceptor may panic. The flow must be released then, or no process could recover it.
        let restored = catch_unwind(AssertUnwindSafe(|| self.restored(id, &journal)));
        let restored = restored.unwrap_or_else(|_| {
            let reason = "the host panicked while its tasks were made".to_owned();
            Err(HostError::CannotTakeUp { flow: id, reason })
        });
        if restored.is_err() {
            self.store.release(id);
        }
        restored
    }

    fn restored(&self, id: FlowId, journal: &[Entry]) -> Result<(Flow, OnLost), HostError> {
        let cannot = |reason: String| HostError::CannotTakeUp { flow: id, reason };
        let Some(Event::Created { plan, .. }) = journal.first().map(|entry| &entry.event) else {
            return Err(cannot("its journal has no beginning".to_owned()));
        };
        let plan = plan.ok_or_else(|| {
            cannot("it was built through the library, which keeps no plan".to_owned())
        })?;
        let ready = match self.stored(plan) {
            Err(HostError::Store(error)) => return Err(error.into()),
            Err(error) => return Err(cannot(error.to_string())),
            Ok(ready) => ready,
        };
        let flow = Flow::restore(id, self.store(), journal).map_err(HostError::Flow)?;
        self.equip(&flow, &ready);
        let known = flow.with_history(|history| {
            let tasks = history.tasks.iter();
            tasks
                .map(|task| (task.name.clone(), task.id))
                .collect::<Vec<_>>()
        });
        let mut known = known.into_iter().peekable();
        for (options, task) in &ready.tasks {
            // Tasks start in order, so those in the journal come first.
            let started = known.next_if(|(name, _)| *name == task.spec().name);
            let options = TaskOptions {
                id: started.map(|(_, id)| id),
                ..options.clone()
            };
            flow.add_with(Arc::clone(task), options)
                .map_err(HostError::Flow)?;
        }
        Ok((flow, ready.on_lost))
    }
}

/// Returns how a planned task is called and wired.
fn spec(planned: &PlannedTask, optional: &[String]) -> TaskSpec {
    let requires = planned.requires.iter().map(|(input, _)| input);
    let spec = TaskSpec {
        name: planned.display.clone(),
        version: planned.version,
        ..TaskSpec::default()
    };
    spec.requires(requires)
        .optional(optional)
        .provides(&planned.provides)
}
