//! Calls plugins in a plain loop over wasmtime: the cost of a call without the engine.

use std::sync::Arc;

use cairn::{Plan, Value};
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Result, Store,
    bail,
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::canned::Tape;
use crate::{BenchError, Case};

#[allow(missing_docs, clippy::all, clippy::pedantic)]
mod wit {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "task-plugin-all",
        imports: { default: trappable },
    });
}

use wit::cairn::plugin::{
    catalog, context, externals, images, keys, log, policy, quota, records, results, rpc, secrets,
    types, volumes, zones,
};
use wit::{TaskPluginAll, TaskPluginAllPre};

/// The flow's tasks, each with a recorded call.
pub struct Bare {
    engine: Engine,
    tasks: Vec<(TaskPluginAllPre<State>, Arc<Script>)>,
}

/// The arguments and answers of one call, as text.
struct Script {
    inputs: String,
    settings: String,
    request: Option<String>,
    requester: context::Identity,
    answers: Vec<Reply>,
}

/// The answer of an effect.
#[derive(Clone)]
enum Reply {
    Texts(Vec<String>),
    Text(String),
    Nothing,
}

impl Bare {
    /// Compiles the components of a plan, which must be embedded ones.
    pub(crate) fn new(plan: &Plan, tapes: &[Arc<Tape>]) -> Result<Self, BenchError> {
        let (engine, linker) = linker().map_err(BenchError::sandbox)?;
        let mut tasks = Vec::new();
        for (planned, tape) in plan.plugin_tasks().zip(tapes) {
            let name = planned.builtin.as_deref().unwrap_or_default();
            let plugins = Case::plugins();
            let Some((_, bytes)) = plugins.iter().find(|(known, _)| *known == name) else {
                let message = format!(
                    "the plugin of task `{}` is not an embedded one",
                    planned.name
                );
                return Err(BenchError::Unexpected(message));
            };
            let pre = compile(&engine, &linker, bytes).map_err(BenchError::sandbox)?;
            let settings = Value::Object(planned.settings.clone()).to_string();
            let script = Script::new(tape, settings, name == "inject");
            tasks.push((pre, Arc::new(script)));
        }
        Ok(Self { engine, tasks })
    }

    /// Creates an instance, calls it, and drops it.
    pub(crate) fn call(&self, task: usize) -> Result<(), BenchError> {
        self.result(task).map(drop)
    }

    /// Makes a [`call`](Self::call), and returns its result as text.
    pub(crate) fn result(&self, task: usize) -> Result<String, BenchError> {
        let (pre, script) = &self.tasks[task];
        let state = State {
            script: Arc::clone(script),
            answered: 0,
            wasi: None,
            table: ResourceTable::new(),
        };
        let mut store = Store::new(&self.engine, state);
        // Never reached: the epoch of this engine is never incremented.
        store.set_epoch_deadline(1);
        let result = call(pre, &mut store, script).map_err(BenchError::sandbox)?;
        result.map_err(|error| BenchError::Unexpected(error.message))
    }
}

/// Creates an engine, and links the imports of plugins to [`State`].
fn linker() -> Result<(Engine, Linker<State>)> {
    let engine = Engine::new(&config())?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    TaskPluginAll::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    Ok((engine, linker))
}

/// Compiles a component, and resolves its imports.
fn compile(
    engine: &Engine,
    linker: &Linker<State>,
    bytes: &[u8],
) -> Result<TaskPluginAllPre<State>> {
    let component = Component::new(engine, bytes)?;
    TaskPluginAllPre::new(linker.instantiate_pre(&component)?)
}

/// Creates an instance and calls its task.
fn call(
    pre: &TaskPluginAllPre<State>,
    store: &mut Store<State>,
    script: &Script,
) -> Answered<String> {
    let plugin = pre.instantiate(&mut *store)?;
    plugin.cairn_plugin_task().call_call(store, &script.inputs)
}

/// Configures wasmtime as the engine does: pooled, with the memory of a small plugin kept resident, and interrupted by epochs.
fn config() -> Config {
    let mut pool = PoolingAllocationConfig::default();
    pool.linear_memory_keep_resident(128 << 10)
        .table_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto)
        .total_component_instances(256)
        .total_core_instances(1024)
        .total_memories(256)
        .total_tables(512)
        .max_memory_size(4 << 30);
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.wasm_component_model(true);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

impl Script {
    fn new(tape: &Tape, settings: String, sees_request: bool) -> Self {
        let requester = &tape.requester;
        let answers = tape.answers.iter().map(|answer| match &answer.shown {
            Value::Array(ids) => {
                let ids = ids.iter().filter_map(Value::as_str);
                Reply::Texts(ids.map(str::to_owned).collect())
            }
            Value::String(id) => Reply::Text(id.clone()),
            Value::Null => Reply::Nothing,
            other => Reply::Text(other.to_string()),
        });
        Self {
            inputs: Value::Object(tape.inputs.clone()).to_string(),
            settings,
            request: sees_request.then(|| tape.request.to_string()),
            requester: context::Identity {
                request_id: requester.request_id.clone(),
                user_id: requester.user_id.clone(),
                project_id: requester.project_id.clone(),
                roles: requester.roles.clone(),
                is_admin: requester.is_admin,
                quota_class: requester.quota_class.clone(),
            },
            answers: answers.collect(),
        }
    }
}

/// The state behind an instance's imports.
struct State {
    script: Arc<Script>,
    answered: usize,
    wasi: Option<WasiCtx>,
    table: ResourceTable,
}

impl State {
    fn next(&mut self) -> Result<Reply> {
        let reply = self.script.answers.get(self.answered).cloned();
        self.answered += 1;
        match reply {
            Some(reply) => Ok(reply),
            None => bail!("the recorded call has fewer effects than this one"),
        }
    }

    fn text(&mut self) -> Result<String> {
        match self.next()? {
            Reply::Text(text) => Ok(text),
            Reply::Texts(_) | Reply::Nothing => bail!("the recorded answer has another type"),
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: self.wasi.get_or_insert_with(WasiCtx::default),
            table: &mut self.table,
        }
    }
}

type Answered<T> = Result<Result<T, types::Error>>;

/// Fails in imports that the flow's calls do not use.
fn not_recorded<T>() -> Result<T> {
    bail!("the recorded calls do not use this function")
}

impl types::Host for State {}

impl context::Host for State {
    fn requester(&mut self) -> Result<context::Identity> {
        Ok(self.script.requester.clone())
    }

    fn settings(&mut self) -> Result<String> {
        Ok(self.script.settings.clone())
    }

    fn quota_committed(&mut self) -> Result<bool> {
        Ok(false)
    }

    fn checkpoint(&mut self) -> Result<()> {
        Ok(())
    }

    fn request(&mut self) -> Result<Option<String>> {
        Ok(self.script.request.clone())
    }
}

impl log::Host for State {
    fn write(&mut self, _level: log::Level, _message: String) -> Result<()> {
        Ok(())
    }
}

impl policy::Host for State {
    fn enforce(&mut self, _action: String, _target: String) -> Answered<()> {
        Ok(Ok(()))
    }
}

impl zones::Host for State {
    fn valid(&mut self, _zone: String) -> Answered<bool> {
        Ok(Ok(true))
    }

    fn default(&mut self) -> Result<String> {
        Ok(cairn::volumes::DEFAULT_ZONE.to_owned())
    }
}

impl catalog::Host for State {
    fn volume_type(&mut self, _id_or_name: String) -> Answered<String> {
        not_recorded()
    }

    fn default_volume_type(&mut self) -> Answered<Option<String>> {
        Ok(Ok(None))
    }

    fn qos_specs(&mut self, _volume_type_id: String) -> Answered<Option<String>> {
        not_recorded()
    }

    fn encrypted(&mut self, _volume_type_id: String) -> Answered<bool> {
        not_recorded()
    }

    fn snapshot(&mut self, _id: String) -> Answered<String> {
        not_recorded()
    }

    fn volume(&mut self, _id: String) -> Answered<String> {
        not_recorded()
    }
}

impl images::Host for State {
    fn show(&mut self, _id: String) -> Answered<String> {
        not_recorded()
    }
}

impl keys::Host for State {
    fn create(&mut self) -> Answered<String> {
        not_recorded()
    }

    fn copy(&mut self, _id: String) -> Answered<String> {
        not_recorded()
    }

    fn delete(&mut self, _id: String) -> Answered<()> {
        not_recorded()
    }
}

type Counted<T> = Result<Result<T, quota::QuotaError>>;

impl quota::Host for State {
    fn with_volume_type(
        &mut self,
        deltas: Vec<quota::Delta>,
        _volume_type_id: Option<String>,
    ) -> Counted<Vec<quota::Delta>> {
        Ok(Ok(deltas))
    }

    fn reserve(&mut self, _deltas: Vec<quota::Delta>) -> Counted<Vec<String>> {
        match self.next()? {
            Reply::Texts(ids) => Ok(Ok(ids)),
            Reply::Text(_) | Reply::Nothing => bail!("the recorded answer has another type"),
        }
    }

    fn commit(&mut self, _reservations: Vec<String>) -> Counted<()> {
        self.next()?;
        Ok(Ok(()))
    }

    fn rollback(&mut self, _reservations: Vec<String>) -> Counted<()> {
        not_recorded()
    }
}

impl volumes::Host for State {
    fn create(&mut self, _properties: String) -> Answered<String> {
        Ok(Ok(self.text()?))
    }

    fn update(&mut self, _id: String, _changes: String) -> Answered<String> {
        not_recorded()
    }

    fn destroy(&mut self, _id: String) -> Answered<()> {
        not_recorded()
    }
}

impl records::Host for State {
    fn get(&mut self, _collection: String, _key: String) -> Answered<Option<records::Entry>> {
        not_recorded()
    }

    fn list(
        &mut self,
        _collection: String,
        _prefix: String,
        _cursor: Option<String>,
        _limit: u32,
    ) -> Answered<records::Page> {
        not_recorded()
    }

    fn put(
        &mut self,
        _collection: String,
        _key: String,
        _value: String,
        _expect: records::Expect,
    ) -> Answered<u64> {
        not_recorded()
    }

    fn remove(
        &mut self,
        _collection: String,
        _key: String,
        _expect: records::Expect,
    ) -> Answered<()> {
        not_recorded()
    }

    fn add(&mut self, _collection: String, _counter: String, _delta: i64) -> Answered<()> {
        not_recorded()
    }

    fn count(&mut self, _collection: String, _counter: String) -> Answered<i64> {
        not_recorded()
    }

    fn next(&mut self, _collection: String, _sequence: String) -> Answered<u64> {
        not_recorded()
    }
}

impl externals::Host for State {
    fn make(
        &mut self,
        _provider: String,
        _kind: String,
        _label: String,
        _spec: String,
    ) -> Answered<String> {
        not_recorded()
    }

    fn remove(&mut self, _provider: String, _kind: String, _id: String) -> Answered<()> {
        not_recorded()
    }
}

impl secrets::Host for State {
    fn get(&mut self, _name: String) -> Answered<String> {
        not_recorded()
    }
}

impl rpc::Host for State {
    fn cast(&mut self, _topic: String, _method: String, _arguments: String) -> Answered<()> {
        self.next()?;
        Ok(Ok(()))
    }
}

impl results::Host for State {
    fn get(&mut self, _name: String) -> Result<Option<String>> {
        not_recorded()
    }

    fn tasks(&mut self) -> Result<Vec<(String, String)>> {
        not_recorded()
    }
}
