//! The SDK for Cairn plugins: one trait per kind of plugin, one macro to export it, and the functions of the host.
//!
//! For a step-by-step introduction see the [`tutorial`].
//!
//! A plugin is a WebAssembly component that implements one task of a flow. The wiring follows from its types: the
//! fields of [`Task::Inputs`] are provided by earlier tasks, the fields of [`Task::Output`] are provided to later ones,
//! and the fields of the task are its settings.
//!
//! ```
//! use cairn_plugin::{Error, Task, bail, log};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! /// Greets the person whom the request names.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Greet {
//!     /// How to greet. In the manifest: `settings = { greeting = "Hello" }`.
//!     greeting: String,
//! }
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Inputs {
//!     name: String,
//!     #[serde(default)] // optional: omitted when no earlier task provides it
//!     title: Option<String>,
//! }
//!
//! #[derive(Serialize, JsonSchema)]
//! struct Output {
//!     text: String,
//! }
//!
//! impl Task for Greet {
//!     type Inputs = Inputs;
//!     type Output = Output;
//!
//!     fn call(&self, inputs: Inputs) -> Result<Output, Error> {
//!         if inputs.name.is_empty() {
//!             bail!("InvalidInput", "`name` is empty; say whom to greet");
//!         }
//!         let title = inputs.title.map(|title| title + " ").unwrap_or_default();
//!         log::info(format!("greeting {}", inputs.name));
//!         Ok(Output { text: format!("{}, {title}{}!", self.greeting, inputs.name) })
//!     }
//! } // no `revert`: the host undoes the changes that a task makes through it
//!
//! cairn_plugin::export!(Greet);
//!
//! // In a test, on any machine: a fake host that returns scripted answers and records the calls.
//! use cairn_plugin::testing::FakeHost;
//! use serde_json::json;
//!
//! let host = FakeHost::new().settings(json!({"greeting": "Hello"}));
//! assert_eq!(host.call::<Greet>(json!({"name": "Ada"})).unwrap(), json!({"text": "Hello, Ada!"}));
//! assert_eq!(host.calls("log.write"), [json!({"level": "info", "message": "greeting Ada"})]);
//! assert!(host.call::<Greet>(json!({"name": ""})).unwrap_err().is("InvalidInput"));
//! ```
//!
//! A plugin may also decide whether a caller may perform an action (see [`Policy`]), or check a request before any task
//! runs (see [`Validator`]). Or it may make and remove objects outside the database for tasks, such as DNS records (see
//! [`External`]).
//!
//! Build it as a `cdylib` with `cargo build --release --target wasm32-wasip2`, and name the file in a manifest. The
//! linker drops unused imports, so the manifest only has to grant the interfaces that the plugin calls.
//!
//! A panic ends the call as a trap: the task fails with the kind `Trap`, and its effects are undone. Return an
//! [`Error`] for a failure that the caller or the operator should be able to read.
#![warn(missing_docs)]

#[doc(hidden)]
pub mod bindings;
mod capability;
mod error;
#[doc(hidden)]
pub mod external;
#[doc(hidden)]
pub mod guest;
mod json;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod memory;
#[doc(hidden)]
pub mod policy_check;
pub mod random;
mod task;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod time;
pub mod tutorial;
#[doc(hidden)]
pub mod validator;
mod wiring;

/// The imports: the host's in a component, the fake host's in a native test, with the same signatures.
#[cfg(target_arch = "wasm32")]
use bindings::cairn::plugin as host;
#[cfg(not(target_arch = "wasm32"))]
use testing::imports as host;

pub use capability::{
    catalog, context, externals, images, keys, log, policy, quota, records, results, rpc, secrets,
    volumes, zones,
};
pub use error::Error;
#[doc(hidden)]
pub use error::checked_kind as __checked_kind;
pub use external::{ActError, External, ExternalObject, Presence};
pub use policy_check::{Decision, Policy};
pub use task::{Disposition, Failure, NoInputs, Outcome, Task};
pub use validator::{Validator, Violation};
pub use wiring::Wiring;
