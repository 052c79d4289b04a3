//! What plugins are held to: the expectations of their [`Case`]s, and the [`Law`]s of `call` and `revert`.
//!
//! Each case is run on a fresh database in the case's start state, by the engine and the store that run every flow. The plugin
//! is one task of a flow: before it run `inject`, which gives it its inputs, and the tasks that the case names; after
//! it a task that fails, so that the flow is rolled back. What is injected to try the laws lands between the plugin and
//! the host, in the [`Context`](cairn::Context) of its call.

#![warn(missing_docs)]

mod asked;
mod case;
mod compare;
mod error;
mod fake;
mod law;
mod scene;
mod state;
mod tasks;
mod test;
mod watch;

pub use asked::Asked;
pub use case::{Before, Case, Expect, HostSettings, Requester, Varies};
pub use compare::{Difference, Keep};
pub use error::LawsError;
pub use fake::{Call, Called, Fakes, Reverted, call};
pub use law::{Broken, Law};
pub use scene::{Subject, Tools};
pub use state::{State, Used};
pub use test::{Checked, Tested, test};
