//! Flows of tasks that succeed as a unit or are rolled back as a unit.
//!
//! A task is a WebAssembly component ([`plugin::PluginTask`]) or native code; either is a [`Task`]. Whatever it changes goes
//! through its [`Context`] as an [`Effect`](rules::Effect), which the store keeps with its inverse. When a task fails, the host
//! undoes what the task did and walks back through those before it:
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::sync::Arc;
//!
//! use cairn::volumes::{self, Expiry, QuotaReserve};
//! use cairn::{Context, Domains, Flow, Identity, Object, Report, Sqlite, SqliteConfig, Task, TaskError, TaskSpec, Value, Verdict};
//!
//! struct Reserve(TaskSpec, i64);
//!
//! impl Task for Reserve {
//!     fn spec(&self) -> &TaskSpec {
//!         &self.0
//!     }
//!     fn call(&self, context: &Arc<dyn Context>, _: Object) -> Result<Value, TaskError> {
//!         let deltas = BTreeMap::from([("gigabytes".to_owned(), self.1)]);
//!         context.apply(&QuotaReserve { project: None, deltas, expiry: Expiry::Default })?;
//!         Ok(Value::Null)
//!     }
//! }
//!
//! let domains = Domains::new([volumes::domain(Default::default())])?;
//! let config = SqliteConfig { domains, ..Default::default() };
//! let store = Arc::new(Sqlite::in_memory(config, Arc::new(cairn::clock::SystemClock))?);
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

use std::sync::Arc;

use capability::Capability;
use manifest::GrantKinds;
use plugin::PluginConfig;

pub use cairn_effects::{
    domain, effect, event, history, keyring, net, outbox, report, rows, rules, table, task,
};
pub use cairn_engine::{flow, host};
pub use cairn_manifest::{allow, config, document, lock, manifest, plan, upgrade, wire};
pub use cairn_model::{
    clock, contract, crash, error, file, id, idempotency, printable, retry, text, value, whole,
};
pub use cairn_policy as policy;
#[cfg(feature = "records")]
pub use cairn_records as records;
pub use cairn_sandbox::{capability, check, plugin};
pub use cairn_store::{self as store, request};
pub use cairn_volumes as volumes;

pub use domain::Domains;
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

/// Returns the capabilities that come with this crate, in the order in which grants are written: those of the core, of block
/// storage, and with the feature `records` that of records.
pub fn capabilities() -> Vec<Arc<dyn Capability>> {
    let [results, policy, rpc] = capability::core();
    let mut capabilities = vec![results, policy];
    capabilities.extend(volumes::capability::capabilities());
    #[cfg(feature = "records")]
    capabilities.push(records::capability::capability());
    capabilities.push(rpc);
    capabilities
}

/// Registers [`capabilities`], for reading manifests, settings and lock files.
pub fn grant_kinds() -> GrantKinds {
    let kinds = capabilities().into_iter().map(|capability| capability as _);
    GrantKinds::new(kinds).expect("they have different names and interfaces")
}

/// Returns the default configuration of plugins, with [`capabilities`].
pub fn plugin_config() -> PluginConfig {
    PluginConfig {
        capabilities: capabilities(),
        ..PluginConfig::default()
    }
}
