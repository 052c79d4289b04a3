//! Plugins: loads components, reads their descriptions, calls them.

mod admission;
mod bystander;
mod cache;
mod compiler;
mod component;
mod document;
mod ended;
mod engine;
mod error;
mod exports;
mod external;
mod interface;
mod task;
mod wait;

pub use admission::{PolicyPlugin, ValidatorPlugin};
pub use compiler::{Compiler, InProcess, compile};
pub use component::{Import, Plugin};
pub use error::PluginError;
pub use external::PluginExternal;
pub use task::PluginTask;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use cache::Cache;
use cairn_manifest::manifest::{GrantKind, GrantKinds};
use cairn_model::value::Digest;
use engine::Engines;

use crate::capability::{self, Authorities, Capability};

/// Settings of the sandbox.
#[derive(Clone, Debug)]
pub struct PluginConfig {
    /// A folder for compiled components that only our user can access; `None` compiles them again in each process.
    pub cache: Option<PathBuf>,
    /// The compiler of untrusted components, which works in a process with limits. `None` refuses such components with
    /// [`PluginError::Untrusted`]; [`InProcess`] compiles them in the calling thread, without limits.
    pub compiler: Option<Arc<dyn Compiler>>,
    /// The capabilities that plugins may be granted, in the order in which grants are written; by default those of the
    /// [core](capability::core).
    pub capabilities: Vec<Arc<dyn Capability>>,
}

impl Default for PluginConfig {
    fn default() -> Self {
        Self {
            cache: None,
            compiler: None,
            capabilities: capability::core(Authorities::default()).into(),
        }
    }
}

/// Loaded plugins. Each component is compiled once.
pub struct Plugins {
    engines: Engines,
    kinds: GrantKinds,
    cache: Option<Cache>,
    compiler: Option<Arc<dyn Compiler>>,
    loaded: Mutex<HashMap<Digest, Arc<Plugin>>>,
}

impl Plugins {
    /// Creates the sandbox.
    ///
    /// # Errors
    /// [`PluginError::Sandbox`] when this machine cannot run it, or two capabilities have one name or interface;
    /// [`PluginError::Cache`] when the cache folder cannot be used.
    pub fn new(config: &PluginConfig) -> Result<Arc<Self>, PluginError> {
        let kinds = config.capabilities.iter();
        let kinds = kinds.map(|capability| Arc::clone(capability) as Arc<dyn GrantKind>);
        let kinds =
            GrantKinds::new(kinds).map_err(|error| PluginError::Sandbox(error.to_string()))?;
        let engines = Engines::new(config.capabilities.clone())?;
        let cache = match &config.cache {
            Some(folder) => Some(Cache::open(folder, engines.any()?)?),
            None => None,
        };
        Ok(Arc::new(Self {
            engines,
            kinds,
            cache,
            compiler: config.compiler.clone(),
            loaded: Mutex::new(HashMap::new()),
        }))
    }

    /// Returns the capabilities that plugins may be granted.
    pub fn kinds(&self) -> &GrantKinds {
        &self.kinds
    }

    /// Compiles and loads an untrusted component.
    ///
    /// # Errors
    /// [`PluginError::Untrusted`] without a compiler for such components, even if the cache holds the machine code; others when
    /// the bytes are not a component, lack an export, import something that this host does not have, or exceed the compiler's
    /// limits.
    pub fn load(&self, bytes: &[u8]) -> Result<Arc<Plugin>, PluginError> {
        let digest = Digest::of(bytes);
        if let Some(plugin) = self.loaded(digest) {
            return Ok(plugin);
        }
        compiler::sniff(bytes)?;
        let Some(compiler) = &self.compiler else {
            return Err(PluginError::Untrusted { digest });
        };
        self.load_with(bytes, digest, || compiler.compile(bytes))
    }

    /// Compiles and loads a built-in component, in the calling thread and without limits.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_trusted(&self, bytes: &[u8]) -> Result<Arc<Plugin>, PluginError> {
        let digest = Digest::of(bytes);
        if let Some(plugin) = self.loaded(digest) {
            return Ok(plugin);
        }
        self.load_with(bytes, digest, || {
            compiler::precompile(self.engines.any()?, bytes)
        })
    }

    fn load_with(
        &self,
        bytes: &[u8],
        digest: Digest,
        compile: impl FnOnce() -> Result<Vec<u8>, PluginError>,
    ) -> Result<Arc<Plugin>, PluginError> {
        // SAFETY: an entry of the cache holds what our compiler made, and the bytes that are loaded are those that were
        // compared with their digest.
        #[expect(unsafe_code, reason = "see the safety comment")]
        let cached = self.cache.as_ref().and_then(|cache| {
            cache.load(digest, |artifact| {
                unsafe { self.engines.load(artifact) }.ok()
            })
        });
        let (sandbox, component) = match cached {
            Some(loaded) => loaded,
            None => {
                let artifact = compile()?;
                // SAFETY: our compiler has just made it.
                #[expect(unsafe_code, reason = "see the safety comment")]
                let loaded = unsafe { self.engines.load(&artifact) }.map_err(|error| {
                    PluginError::NotCompiled(format!("made what cannot be loaded: {error}"))
                })?;
                if let Some(cache) = &self.cache {
                    cache.keep(digest, &artifact);
                }
                loaded
            }
        };
        let plugin = Arc::new(Plugin::new(sandbox, component, digest, bytes, &self.kinds)?);
        self.lock().insert(digest, Arc::clone(&plugin));
        Ok(plugin)
    }

    /// Returns the plugin with this digest, if it is loaded.
    pub fn loaded(&self, digest: Digest) -> Option<Arc<Plugin>> {
        self.lock().get(&digest).cloned()
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, HashMap<Digest, Arc<Plugin>>> {
        self.loaded.lock()
    }
}

#[cfg(test)]
mod tests;
