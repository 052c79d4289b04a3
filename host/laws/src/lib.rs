//! What plugins are held to: the expectations of their [`Case`]s, and the [`Law`]s of their kind.
//!
//! Each case of a task is run on a fresh database in the case's start state, by the engine and the store that run every flow. The
//! task is one of a flow: before it run `inject`, which gives it its inputs, and the tasks that the case names; after
//! it a task that fails, so that the flow is rolled back. What is injected to try the laws lands between the plugin and
//! the host, in the [`Context`](cairn::Context) of its call.
//!
//! A policy or a validator is asked as it is before a flow's first task. It changes nothing, so there is no database, and what is
//! tried is only what its answer leans on.

#![warn(missing_docs)]

mod asked;
mod call;
mod case;
mod compare;
mod document;
mod error;
mod fake;
mod law;
mod manifest;
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
    Before, Case, ExpectedViolation, HostSettings, PolicyCase, PolicyExpect, Requester, TaskCase,
    TaskExpect, ValidatorCase, ValidatorExpect, Varies,
};
pub use compare::{Difference, Keep};
pub use error::LawsError;
pub use fake::Fakes;
pub use law::{Broken, Law};
pub use state::{State, Used};
pub use subject::{Subject, Tools};
pub use test::{Checked, Tested, test};
pub use unexpected::Unexpected;
