//! Flows of sandboxed tasks that succeed as a unit or are rolled back as a unit.

pub mod capability;
pub mod clock;
pub mod config;
mod document;
pub mod effect;
pub mod error;
pub mod event;
pub mod flow;
pub mod history;
pub mod host;
pub mod id;
pub mod keyring;
pub mod manifest;
pub mod plan;
pub mod plugin;
pub mod policy;
pub mod quota;
pub mod report;
pub mod request;
pub mod retry;
pub mod store;
pub mod task;
pub mod value;
mod wit;
