//! Tests plugins against the expectations of their [`Case`]s and the [`Law`]s of their kind.
//!
//! Each case of a task runs on a fresh database in the case's start state, with the real engine and store. The task is part of a flow:
//! before it run `inject`, which provides its inputs, and the tasks that the case names; after it runs a task that fails, so that the
//! flow is rolled back. Faults are injected between the plugin and the host, in the [`Context`](cairn::Context) of its call.
//!
//! A policy or a validator runs as an admission check before a flow's first task. It changes nothing, so there is no database, and the
//! laws only test which sources its answer depends on.
//!
//! An external acts on its backend, which must be there. The laws are the six promises of `external.wit`; faults are injected into its
//! requests over HTTP.

#![warn(missing_docs)]

mod asked;
mod backend;
mod call;
mod case;
mod compare;
mod document;
mod error;
mod fake;
mod law;
mod manifest;
mod promises;
mod question;
mod scene;
mod state;
mod subject;
mod tasks;
mod test;
mod unexpected;
mod watch;

pub use asked::Asked;
pub use call::{Call, Called, Reverted, call};
pub use case::{
    Before, Case, ExpectedViolation, ExternalCase, HostSettings, PolicyCase, PolicyExpect,
    Requester, TaskCase, TaskExpect, ValidatorCase, ValidatorExpect, Varies,
};
pub use compare::{Difference, Keep};
pub use error::LawsError;
pub use fake::Fakes;
pub use law::{Broken, Law};
pub use state::{State, Used};
pub use subject::{Subject, Tools};
pub use test::{Checked, Tested, test};
pub use unexpected::Unexpected;
