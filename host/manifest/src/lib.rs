//! What is written in files and checked before anything runs: manifests, plans, lock files, the operator's settings. No plugin is
//! called here, and no database opened.

#![warn(missing_docs)]

pub mod allow;
pub mod config;
pub mod diff;
pub mod document;
pub mod lockfile;
pub mod manifest;
pub mod plan;

pub mod wire;

#[cfg(test)]
mod testing;
