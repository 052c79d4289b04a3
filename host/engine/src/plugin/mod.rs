//! Plugins: loading components, asking them what they are, calling them. With `capability` and `wit` the only place that
//! names wasmtime.

mod cache;
mod check;
mod component;
mod error;
mod exports;
mod task;
mod wait;

pub use check::{PolicyPlugin, ValidatorPlugin};
pub use component::{Import, Plugin};
pub use error::PluginError;
pub use task::PluginTask;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::capability::State;
use crate::value::Digest;
use crate::wit::TaskPluginAll;
use cache::Cache;

/// Deadlines are kept to this precision.
pub(crate) const TICK: Duration = Duration::from_millis(2);

/// The most memory that any plugin may have, in bytes; a pooled slot reserves this much address space.
const MAX_MEMORY: usize = 4 << 30;

/// The largest component that is compiled, in bytes.
const MAX_COMPONENT: usize = 64 << 20;

/// How plugins are kept.
#[derive(Clone, Debug, Default)]
pub struct PluginConfig {
    /// A folder of our own for compiled components; `None` compiles them anew in each process.
    pub cache: Option<PathBuf>,
}

/// Loaded plugins. Each component is compiled once.
pub struct Plugins {
    engine: Engine,
    linker: Linker<State>,
    cache: Option<Cache>,
    loaded: Mutex<HashMap<Digest, Arc<Plugin>>>,
}

impl Plugins {
    /// Sets the sandbox up.
    ///
    /// # Errors
    /// [`PluginError::Sandbox`] when this machine cannot run it; [`PluginError::Cache`] when the cache folder cannot be used.
    pub fn new(config: &PluginConfig) -> Result<Arc<Self>, PluginError> {
        let engine = engine().map_err(|error| PluginError::Sandbox(format!("{error:#}")))?;
        let linker = linker(&engine).map_err(|error| PluginError::Sandbox(format!("{error:#}")))?;
        let cache = match &config.cache {
            Some(folder) => Some(Cache::open(folder, &engine)?),
            None => None,
        };
        tick(&engine)?;
        Ok(Arc::new(Self {
            engine,
            linker,
            cache,
            loaded: Mutex::new(HashMap::new()),
        }))
    }

    /// The plugin that these bytes are.
    ///
    /// # Errors
    /// When they are no component, or one that lacks an export or imports what nobody has.
    pub fn load(&self, bytes: &[u8]) -> Result<Arc<Plugin>, PluginError> {
        let digest = Digest::of(bytes);
        if let Some(plugin) = self.lock().get(&digest) {
            return Ok(Arc::clone(plugin));
        }
        if bytes.len() > MAX_COMPONENT {
            return Err(PluginError::TooLarge {
                size: bytes.len(),
                most: MAX_COMPONENT,
            });
        }
        let component = match &self.cache {
            Some(cache) => cache.get_or_compile(&self.engine, digest, bytes)?,
            None => component::compile(&self.engine, bytes)?,
        };
        let plugin = Arc::new(Plugin::new(
            &self.engine,
            &self.linker,
            component,
            digest,
            bytes,
        )?);
        self.lock().insert(digest, Arc::clone(&plugin));
        Ok(plugin)
    }

    /// The plugin of this digest, if it is loaded.
    pub fn loaded(&self, digest: Digest) -> Option<Arc<Plugin>> {
        self.lock().get(&digest).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Arc<Plugin>>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.wasm_component_model(true);
    config
}

/// Pooled where the address space can be reserved, else on demand.
fn engine() -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::default();
    // What a small plugin touches stays resident, so that the next instance need not fault it in.
    pool.linear_memory_keep_resident(128 << 10)
        .table_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto)
        .total_component_instances(256)
        .total_core_instances(1024)
        .total_memories(256)
        .total_tables(512)
        .max_memory_size(MAX_MEMORY);
    let mut pooled = config();
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&pooled).or_else(|error| {
        tracing::info!(
            error = format!("{error:#}"),
            "no pool of instances: they are allocated on demand"
        );
        Engine::new(&config())
    })
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    wait::add_to_linker(&mut linker)?;
    TaskPluginAll::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    Ok(linker)
}

/// Moves the engine's clock on for as long as it lives.
fn tick(engine: &Engine) -> Result<(), PluginError> {
    let engine = engine.weak();
    std::thread::Builder::new()
        .name("cairn-tick".to_owned())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(TICK);
            }
        })
        .map(drop)
        .map_err(|error| PluginError::Sandbox(format!("cannot start a thread: {error}")))
}
