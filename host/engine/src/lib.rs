//! Flows of tasks that succeed as a unit or are rolled back as a unit.
//!
//! A task is a WebAssembly component ([`plugin::PluginTask`]) or native code; either is a [`Task`]. Whatever it changes goes
//! through its [`Context`] as an [`Effect`](effect::Effect), which the store keeps with its inverse. When a task fails, the host
//! undoes what the task did and walks back through those before it:
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::sync::Arc;
//!
//! use cairn::effect::{Effect, Expiry, QuotaReserve};
//! use cairn::{Context, Flow, Identity, Object, Report, Sqlite, Task, TaskError, TaskSpec, Value, Verdict};
//!
//! struct Reserve(TaskSpec, i64);
//!
//! impl Task for Reserve {
//!     fn spec(&self) -> &TaskSpec {
//!         &self.0
//!     }
//!     fn call(&self, context: &Arc<dyn Context>, _: Object) -> Result<Value, TaskError> {
//!         let deltas = BTreeMap::from([("gigabytes".to_owned(), self.1)]);
//!         context.apply(&Effect::QuotaReserve(QuotaReserve { project: None, deltas, expiry: Expiry::Default }))?;
//!         Ok(Value::Null)
//!     }
//! }
//!
//! let store = Arc::new(Sqlite::in_memory(Default::default(), Arc::new(cairn::clock::SystemClock))?);
//! let flow = Flow::builder("two").requester(Identity::new("ann", "acme")).build(store);
//! flow.add(Arc::new(Reserve(TaskSpec::new("small"), 10)))?;
//! flow.add(Arc::new(Reserve(TaskSpec::new("large"), 2000)))?;
//! assert!(flow.run().is_err(), "the limit is 1000 GiB");
//! let report = Report::new(flow.id(), &flow.history());
//! assert_eq!(report.error.unwrap().kind, "OverQuota");
//! assert_eq!(report.rollback.unwrap().verdict, Verdict::Clean);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Host`] builds flows from manifests of plugins: [`Manifest`] -> [`Plan`] -> [`Flow`] -> [`Report`]. The library knows no terminal, no
//! environment and no home directory. How it hangs together is told in `host/ARCHITECTURE.md`.

#![warn(missing_docs)]

pub mod allow;
pub mod capability;
pub mod check;
pub mod clock;
pub mod config;
pub mod contract;
pub mod crash;
mod document;
pub mod effect;
pub mod error;
pub mod event;
pub mod file;
pub mod flow;
pub mod history;
pub mod host;
pub mod id;
pub mod idempotency;
pub mod keyring;
pub mod lock;
pub mod manifest;
pub mod plan;
pub mod plugin;
pub mod policy;
pub mod printable;
pub mod quota;
pub mod report;
pub mod request;
pub mod retry;
pub mod rows;
pub mod store;
pub mod task;
pub mod text;
pub mod upgrade;
pub mod value;
pub mod volumes;
pub mod wire;
mod wit;

pub use error::{Diagnostic, TaskError};
pub use flow::{Flow, FlowError};
pub use host::{Host, HostError, Submission};
pub use id::{FlowId, Identity, TaskId};
pub use manifest::Manifest;
pub use plan::Plan;
pub use report::{Report, Verdict};
pub use store::{Sqlite, SqliteConfig, Store, StoreError};
pub use task::{Context, Task, TaskSpec};
pub use value::{Object, Value};
