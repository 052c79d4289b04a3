//! Plugins: WebAssembly components that are tasks, policies or validators, and their host functions.

#![warn(missing_docs)]

pub mod admission;
pub mod capability;
pub mod extension;
pub mod plugin;
pub mod wit;

pub use wasmtime;
