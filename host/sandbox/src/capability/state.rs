use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Trap, bail};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use cairn_effects::domain::Domains;
use cairn_effects::event::LogLevel;
use cairn_effects::rules::{Effect, LookUp};
use cairn_effects::task::Context;
use cairn_manifest::manifest::{Grant, Grants, LimitKey, Limits};
use cairn_model::error::{HostErrorKind, Origin, TaskError};
use cairn_model::id::Identity;
use cairn_model::secret::Secrets;
use cairn_model::stall;
use cairn_model::value::{Value, text};

use super::http::{HttpCall, RequestFault, RequestFaults};
use super::log::LogEnd;
use super::surroundings::MachineClock;
use super::{Denied, Enforcer, Surroundings, to_wit};
use crate::admission::RulePlugins;
use crate::wit::cairn::plugin::types;

/// Services for capabilities, besides the flow's store.
pub struct Services {
    /// Decides on policy.
    pub enforcer: Arc<dyn Enforcer>,
    /// The domains whose tables flows may change, and their services.
    pub domains: Domains,
    /// The clocks and the randomness that plugins see; the machine's when `None`.
    pub surroundings: Option<Surroundings>,
    /// The plugins of the flow that policy rules may ask.
    pub rule_plugins: RulePlugins,
    /// The secrets of the operator.
    pub secrets: Arc<dyn Secrets>,
}

/// The settings, grants and limits of one plugin of a plan.
pub struct Granted {
    /// Its settings, as JSON text.
    pub settings: String,
    /// The capabilities it may call.
    pub grants: Grants,
    /// Its limits.
    pub limits: Limits,
    /// Whether it sees the request.
    pub sees_request: bool,
}

/// A call in progress.
pub(crate) struct Active {
    pub(crate) context: Arc<dyn Context>,
    pub(crate) granted: Arc<Granted>,
    pub(crate) services: Arc<Services>,
    /// The last denial of a policy.
    pub(crate) denied: Denied,
}

/// The state of one instance, on which its host functions work. Each call of a plugin has its own instance.
pub struct State {
    /// `None` while the plugin describes itself: then only `log` and WASI are available.
    active: Option<Active>,
    /// The error with which the host ended the call, if it did.
    pub(crate) ended: Option<TaskError>,
    /// When the call must have ended, unless it waits for the host's database.
    deadline: Instant,
    /// How long its thread had waited for the database before.
    stalled: Duration,
    memory_limit: usize,
    /// Bytes of all memories together.
    memory_used: usize,
    /// The most that a call of the same task has used.
    memory_peak: Option<Arc<AtomicUsize>>,
    table_entries: usize,
    memories: usize,
    tables: usize,
    instances: usize,
    /// Host calls that remain.
    host_calls_left: u64,
    /// The limit that caused a refusal, which the plugin may have survived.
    pub(crate) refused: Option<LimitKey>,
    log_left: u64,
    /// The end of its log and output, including what exceeded the log's limit.
    log_end: LogEnd,
    /// Created when the plugin first uses WASI; most never do.
    wasi: Option<WasiCtx>,
    printed: Option<MemoryOutputPipe>,
    /// Created when the plugin first uses `wasi:http`.
    http: Option<Box<HttpCall>>,
    /// What goes wrong with its requests, in a test.
    request_faults: Option<Arc<RequestFaults>>,
    table: ResourceTable,
}

impl State {
    /// Creates the state of one call, whose time runs from now. For tests of a capability; the sandbox creates its own.
    pub fn new(context: Arc<dyn Context>, granted: Arc<Granted>, services: Arc<Services>) -> Self {
        Self::for_call(Active {
            context,
            granted,
            services,
            denied: Denied::default(),
        })
    }

    /// Creates the state of one call, whose time runs from now.
    pub(crate) fn for_call(active: Active) -> Self {
        let granted = Arc::clone(&active.granted);
        Self::within(Some(active), &granted.limits)
    }

    /// Records the memory that the call uses, if it is more than that of earlier calls.
    pub(crate) fn with_memory_peak(mut self, peak: &Arc<AtomicUsize>) -> Self {
        self.memory_peak = Some(Arc::clone(peak));
        self
    }

    /// Lets `faults` decide what becomes of the call's requests over HTTP, for a test.
    pub(crate) fn with_request_faults(mut self, faults: Option<Arc<RequestFaults>>) -> Self {
        self.request_faults = faults;
        self
    }

    /// Returns what goes wrong with the next request.
    pub(super) fn request_fault(&self) -> Option<RequestFault> {
        self.request_faults.as_ref().and_then(|faults| faults())
    }

    /// Creates the state of a plugin that describes itself.
    pub(crate) fn for_description(limits: &Limits) -> Self {
        Self::within(None, limits)
    }

    fn within(active: Option<Active>, limits: &Limits) -> Self {
        let count = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        let mut table = ResourceTable::new();
        table.set_max_capacity(count(limits.resources));
        Self {
            active,
            ended: None,
            deadline: Instant::now() + limits.deadline,
            stalled: stall::total(),
            memory_limit: count(limits.memory),
            memory_used: 0,
            memory_peak: None,
            table_entries: count(limits.table_entries),
            memories: count(limits.memories),
            tables: count(limits.tables),
            instances: count(limits.instances),
            host_calls_left: limits.host_calls,
            refused: None,
            log_left: limits.log_bytes,
            log_end: LogEnd::default(),
            wasi: None,
            printed: None,
            http: None,
            request_faults: None,
            table,
        }
    }

    /// Returns the plugin's resources, and the deadline for waits on them.
    pub(crate) fn waits(&mut self) -> (&mut ResourceTable, Instant) {
        let deadline = self.deadline();
        (&mut self.table, deadline)
    }

    /// Returns when the call must have ended. The time in which the host waited for its database does not count: see [`stall`].
    fn deadline(&self) -> Instant {
        self.deadline + stall::total().saturating_sub(self.stalled)
    }

    /// Returns the state of `wasi:http`, the call in progress, and the plugin's resources.
    pub(super) fn http_parts(
        &mut self,
    ) -> (
        &mut Option<Box<HttpCall>>,
        Option<&Active>,
        &mut ResourceTable,
    ) {
        (&mut self.http, self.active.as_ref(), &mut self.table)
    }

    /// Counts a call of a host function. Pass it to a linker as the getter of the functions' `Host`.
    ///
    /// One call too many ends the plugin's call, in [`grant`](Self::grant) and every other function here that returns a
    /// `wasmtime::Result`.
    pub fn enter(&mut self) -> &mut Self {
        match self.host_calls_left.checked_sub(1) {
            Some(left) => self.host_calls_left = left,
            None => self.refused = Some(LimitKey::HostCalls),
        }
        self
    }

    /// Records a refusal. The refusal of a host call ends the call, and is not overwritten by others.
    pub(super) fn refuse(&mut self, key: LimitKey) {
        if self.refused != Some(LimitKey::HostCalls) {
            self.refused = Some(key);
        }
    }

    /// Fails if the call must end. Checked at the start and end of a host function, and at every tick of the clock.
    pub(crate) fn alive(&self) -> wasmtime::Result<()> {
        if self.refused == Some(LimitKey::HostCalls) || Instant::now() >= self.deadline() {
            return Err(Trap::Interrupt.into());
        }
        Ok(())
    }

    /// Returns the call in progress.
    pub(super) fn active(&self) -> wasmtime::Result<&Active> {
        self.alive()?;
        match &self.active {
            Some(active) => Ok(active),
            None => {
                bail!("no capability but `log` may be called while the plugin describes itself")
            }
        }
    }

    /// Returns the caller on whose behalf the plugin runs.
    ///
    /// # Errors
    /// The call is over, or the plugin describes itself: the host function returns the error.
    pub fn requester(&self) -> wasmtime::Result<&Identity> {
        Ok(self.active()?.context.requester())
    }

    /// Returns the host's services for capabilities, besides the flow's store.
    ///
    /// # Errors
    /// As [`requester`](Self::requester).
    pub fn services(&self) -> wasmtime::Result<&Services> {
        Ok(&self.active()?.services)
    }

    /// Returns the error with which the host ended the call, when it did.
    pub fn ended(&self) -> Option<&TaskError> {
        self.ended.as_ref()
    }

    /// Returns the resources of the instance, for interfaces that have resources of their own.
    pub fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// Returns the grant of `capability`, with which every host function begins.
    ///
    /// # Errors
    /// As [`requester`](Self::requester). Also when the capability is not granted, which ends the call: a component that
    /// imports a capability without a grant is refused at plan time, so its plan is older than the operator's current settings.
    pub fn grant(&mut self, capability: &str) -> wasmtime::Result<&Grant> {
        if !self.active()?.granted.grants.has(capability) {
            let message = format!(
                "`{capability}` is not granted any more: the operator's settings do not allow it"
            );
            self.ended = Some(TaskError::host(HostErrorKind::NotGranted, message));
        }
        match self.active()?.granted.grants.get(capability) {
            Some(grant) => Ok(grant),
            None => bail!("`{capability}` was not granted"),
        }
    }

    /// Applies an effect. The inner error is the plugin's to handle.
    ///
    /// # Errors
    /// As [`requester`](Self::requester) and [`pass`](Self::pass).
    pub fn apply<E: Effect>(
        &mut self,
        effect: &E,
    ) -> wasmtime::Result<Result<E::Answer, TaskError>> {
        let result = self.active()?.context.apply(effect);
        self.pass(result)
    }

    /// Looks something up. The inner error is the plugin's to handle.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn look_up<L: LookUp>(
        &mut self,
        look_up: &L,
    ) -> wasmtime::Result<Result<L::Answer, TaskError>> {
        let result = self.active()?.context.look_up(look_up);
        self.pass(result)
    }

    /// Looks something up, and translates the answer into JSON text and the contract's error.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn look_up_json(
        &mut self,
        look_up: &impl LookUp<Answer = Value>,
    ) -> wasmtime::Result<Result<String, types::Error>> {
        let value = self.look_up(look_up)?;
        Ok(value.map(|value| text(&value)).map_err(to_wit))
    }

    /// Asks the flow to do something whose time does not count towards the call's deadline. The inner error is the plugin's to handle.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub(super) fn outside_of_deadline<T>(
        &mut self,
        ask: impl FnOnce(&dyn Context) -> Result<T, TaskError>,
    ) -> wasmtime::Result<Result<T, TaskError>> {
        let context = &self.active()?.context;
        let (since, stalled) = (Instant::now(), stall::total());
        let result = ask(&**context);
        let already_outside = stall::total().saturating_sub(stalled);
        self.deadline += since.elapsed().saturating_sub(already_outside);
        self.pass(result)
    }

    /// Passes on an answer of the flow. A host error ends the call; the plugin handles other errors.
    ///
    /// # Errors
    /// The host error; or the call is over.
    pub fn pass<T>(
        &mut self,
        result: Result<T, TaskError>,
    ) -> wasmtime::Result<Result<T, TaskError>> {
        match result {
            Err(error)
                if error.origin == Origin::Host
                    && error.kind != HostErrorKind::UndoRefused.as_str() =>
            {
                self.ended = Some(error.clone());
                bail!("{error}")
            }
            other => {
                self.alive()?;
                Ok(other)
            }
        }
    }

    /// Takes the last lines that the plugin logged or printed.
    pub(crate) fn take_log_end(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log_end).into_lines()
    }

    /// Adds a message to the flow's log, up to the limit.
    pub fn log(&mut self, level: LogLevel, mut message: String) {
        self.flush_requests(false);
        self.log_end.add(&message);
        let Some(active) = &self.active else {
            return;
        };
        let left = usize::try_from(self.log_left).unwrap_or(usize::MAX);
        if left == 0 {
            return;
        }
        if message.len() > left {
            let cut = (0..=left)
                .rev()
                .find(|cut| message.is_char_boundary(*cut))
                .unwrap_or(0);
            message.truncate(cut);
            message.push_str(" … (the log of this call is full)");
        }
        self.log_left = self.log_left.saturating_sub(message.len() as u64);
        active.context.log(level, message);
    }

    /// Passes the lines of HTTP requests on to the flow's log: of those that ended, or, when the call `ends`, of all. They are not
    /// counted towards the log's limit, so that a plugin that fills its log cannot hide them; `http_requests` bounds them.
    pub(crate) fn flush_requests(&mut self, ends: bool) {
        let lines = self.http.as_ref().map(|http| http.take_lines(ends));
        for (level, line) in lines.unwrap_or_default() {
            self.log_end.add(&line);
            if let Some(active) = &self.active {
                active.context.log(level, line);
            }
        }
    }

    /// Passes the plugin's output on to the log.
    pub(crate) fn flush_printed(&mut self) {
        if let Some(printed) = self.printed.take() {
            let text = String::from_utf8_lossy(&printed.contents())
                .trim_end()
                .to_owned();
            if !text.is_empty() {
                self.log(LogLevel::Info, text);
            }
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        /// Bytes after which a plugin's output stream is closed. The log's own limit is lower.
        const PRINTED: usize = 1 << 20;
        let printed = self
            .printed
            .get_or_insert_with(|| MemoryOutputPipe::new(PRINTED));
        let active = self.active.as_ref();
        let surroundings = active.and_then(|active| active.services.surroundings);
        // Clocks and randomness only: no folders, sockets, environment or arguments.
        let ctx = self.wasi.get_or_insert_with(|| {
            let mut builder = WasiCtxBuilder::new();
            builder
                .stdout(printed.clone())
                .stderr(printed.clone())
                .wall_clock(MachineClock)
                .allow_tcp(false)
                .allow_udp(false);
            if let Some(surroundings) = surroundings {
                surroundings.apply(&mut builder);
            }
            builder.build()
        });
        WasiCtxView {
            ctx,
            table: &mut self.table,
        }
    }
}

impl ResourceLimiter for State {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self
            .memory_used
            .saturating_sub(current)
            .saturating_add(desired);
        let allowed = total <= self.memory_limit;
        if allowed {
            self.memory_used = total;
            if let Some(peak) = &self.memory_peak {
                peak.fetch_max(total, Ordering::Relaxed);
            }
        }
        if !allowed {
            self.refuse(LimitKey::Memory);
        }
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = desired <= self.table_entries;
        if !allowed {
            self.refuse(LimitKey::TableEntries);
        }
        Ok(allowed)
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.tables
    }

    fn memories(&self) -> usize {
        self.memories
    }
}
