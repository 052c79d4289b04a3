//! Flows, and the host that builds them from manifests and runs them.

#![warn(missing_docs)]

pub mod externals;
pub mod flow;
pub mod host;
