//! Files that are read and checked before a flow runs: manifests, plans, lock files, the operator's settings. This crate calls
//! no plugin and opens no database.

#![warn(missing_docs)]

pub mod allow;
pub mod config;
pub mod diff;
pub mod document;
pub mod flow_diff;
pub mod lockfile;
pub mod manifest;
pub mod plan;

pub mod wire;

#[cfg(test)]
mod testing;
