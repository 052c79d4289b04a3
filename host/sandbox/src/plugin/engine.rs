//! The two engines: one pools the instances of small components, the other allocates those of large ones on demand.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use wasmtime::component::{Component, Linker};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use super::PluginError;
use super::ended::describe_error;
use super::wait;
use crate::capability::{Capability, State, link_base};

/// Precision of deadlines.
pub(super) const TICK: Duration = Duration::from_millis(2);

/// Maximum memory of a pooled instance. The engine reserves as much address space for each in any case, which saves the bounds
/// checks.
const POOLED_MEMORY: usize = 4 << 30;

/// Maximum entries of a pooled table; as many as any manifest may ask for.
const POOLED_TABLE: usize = 100_000;

/// A component that starts with more memory than this is large: pooling saves little compared with filling that memory.
const SMALL_MEMORY: u64 = 4 << 20;

/// A component with more memories or tables than this would use too much of the pool.
const SMALL_COUNT: u32 = 4;

/// One engine and the linker for its instances.
pub(super) struct Sandbox {
    pub(super) engine: Engine,
    pub(super) linker: Linker<State>,
}

impl Sandbox {
    fn new(config: &Config, capabilities: &[Arc<dyn Capability>]) -> Result<Self, PluginError> {
        let failed = |error: wasmtime::Error| PluginError::Sandbox(describe_error(&error));
        let engine = Engine::new(config).map_err(failed)?;
        let linker = linker(&engine, capabilities).map_err(failed)?;
        tick(&engine)?;
        Ok(Self { engine, linker })
    }
}

/// The engines of one process. They accept the same machine code, and differ only in memory allocation.
pub(super) struct Engines {
    /// `None` where the address space of a pool cannot be reserved.
    pooled: Option<Sandbox>,
    on_demand: OnceLock<Sandbox>,
    capabilities: Vec<Arc<dyn Capability>>,
}

impl Engines {
    /// Creates the engines, with the capabilities that their instances may be granted.
    pub(super) fn new(capabilities: Vec<Arc<dyn Capability>>) -> Result<Self, PluginError> {
        let mut config = config();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
        let pooled = Sandbox::new(&config, &capabilities);
        let engines = Self {
            pooled: pooled
                .inspect_err(|error| {
                    tracing::info!(%error, "no pool of instances: they are made on demand");
                })
                .ok(),
            on_demand: OnceLock::new(),
            capabilities,
        };
        if engines.pooled.is_none() {
            engines.on_demand()?;
        }
        Ok(engines)
    }

    fn on_demand(&self) -> Result<&Sandbox, PluginError> {
        if let Some(sandbox) = self.on_demand.get() {
            return Ok(sandbox);
        }
        // Two threads may each create one; one of them is kept.
        let sandbox = Sandbox::new(&config(), &self.capabilities)?;
        Ok(self.on_demand.get_or_init(|| sandbox))
    }

    /// Returns an engine that can compile.
    pub(super) fn any(&self) -> Result<&Engine, PluginError> {
        match &self.pooled {
            Some(sandbox) => Ok(&sandbox.engine),
            None => Ok(&self.on_demand()?.engine),
        }
    }

    /// Loads machine code into the engine that suits the component.
    ///
    /// # Safety
    /// `artifact` must be what the compiler of this host made, byte for byte: loading it executes it.
    #[expect(
        unsafe_code,
        reason = "the one way to load compiled code; see the safety comment"
    )]
    pub(super) unsafe fn load(
        &self,
        artifact: &[u8],
    ) -> Result<(&Sandbox, Component), PluginError> {
        if let Some(sandbox) = &self.pooled {
            // SAFETY: the caller's promise.
            match unsafe { Component::deserialize(&sandbox.engine, artifact) } {
                Ok(component) if is_small(&component) => return Ok((sandbox, component)),
                // A component that does not fit the pool is loaded into the other engine, which also reports what is wrong with
                // an invalid one.
                Ok(_) | Err(_) => {}
            }
        }
        let sandbox = self.on_demand()?;
        // SAFETY: the caller's promise.
        let component = unsafe { Component::deserialize(&sandbox.engine, artifact) };
        let component = component.map_err(|error| PluginError::Invalid(describe_error(&error)))?;
        Ok((sandbox, component))
    }
}

fn is_small(component: &Component) -> bool {
    component.resources_required().is_some_and(|needs| {
        needs.max_initial_memory_size.unwrap_or(0) <= SMALL_MEMORY
            && needs.num_memories <= SMALL_COUNT
            && needs.num_tables <= SMALL_COUNT
    })
}

/// Returns the compilation settings: the same for both engines, and for a compiler in another process.
pub(super) fn config() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.wasm_component_model(true);
    // Functions by name, without source lines, for which wasmtime has the feature `addr2line`. It would read the debug info,
    // which an untrusted author can make as long as they like, again for each frame of a backtrace, outside the call's time and
    // memory limits: with twenty million lines 2 s and 900 MB a frame. Where an author wants lines, each frame has its byte
    // offset in the component.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::default();
    // Memory that a small plugin touches stays resident, so that the next instance does not fault it in.
    pool.linear_memory_keep_resident(128 << 10)
        .table_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto)
        .total_component_instances(256)
        .total_core_instances(1024)
        .total_memories(256)
        .total_tables(512)
        .table_elements(POOLED_TABLE)
        .max_memory_size(POOLED_MEMORY);
    pool
}

fn linker(
    engine: &Engine,
    capabilities: &[Arc<dyn Capability>],
) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    wait::add_to_linker(&mut linker)?;
    link_base(&mut linker)?;
    for capability in capabilities {
        capability.link(&mut linker)?;
    }
    Ok(linker)
}

/// Advances the engine's epoch as long as the engine lives.
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
