//! Cairn, a task engine: runs flows of tasks that succeed as a unit or are rolled back as a unit.
//!
//! # In three lines
//!
//! ```
//! # use cairn::{Cairn, Identity};
//! # use serde_json::json;
//! # let folder = tempfile::tempdir()?;
//! # let (database, manifest) = (folder.path().join("cairn.db"), folder.path().join("flow.toml"));
//! # std::fs::write(&manifest, "[flow]\nname = 'sizes'\n[plugins.inject]\nbuiltin = 'inject'\n\
//! #     settings = { provides = ['size'] }\n[[task]]\nplugin = 'inject'\n")?;
//! let cairn = Cairn::open(&database)?;
//! let flow = cairn.flow(&manifest)?;
//! let report = flow.run(&Identity::new("ann", "acme"), json!({"size": 1}))?;
//! # assert_eq!(*report.tasks[0].result, json!({"size": 1}));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Cairn::open`] opens a SQLite database with the built-in plugins, the domains of this crate and the default policy. [`Cairn::flow`]
//! loads and checks the plugins of a manifest and wires its tasks into a [`PlannedFlow`]. The [`Report`] holds each task's result, or
//! the error and the verdict of the rollback. [`PlannedFlow::submit`] queues a request, so that many flows run at once, and accepts an
//! idempotency key. [`Cairn::recover`] recovers the flows of processes that died: call it when the program starts.
//!
//! # Where to go next
//!
//! | to | see | crate |
//! |---|---|---|
//! | configure and use the engine | [`Cairn`], [`CairnBuilder`], [`PlannedFlow`] | this one |
//! | operate on flows, listen to them, recover them | [`host`], [`flow`] | [`cairn_engine`] |
//! | write tasks, effects and domains; read reports and journals | [`task`], [`rules`], [`rows`], [`effect`], [`domain`], [`report`], [`history`] | [`cairn_effects`] |
//! | check manifests, plans, lock files, upgrades and settings | [`manifest`], [`plan`], [`lock`], [`allow`], [`config`], [`upgrade`] | [`cairn_manifest`] |
//! | load plugins, add capabilities, run admission checks | [`plugin`], [`capability`], [`check`], [`extension`] | [`cairn_sandbox`] |
//! | open databases; read and change them as an operator | [`store`], [`store::view`], [`store::admin`] | [`cairn_store`] |
//! | use block storage in tasks, or operate on it | [`volumes`] | [`cairn_volumes`] |
//! | use JSON records, counters and sequences, or operate on them | [`records`] | [`cairn_records`] |
//! | read and evaluate access rules | [`policy`] | [`cairn_policy`] |
//! | handle errors, JSON values, ids and times | [`error`], [`value`], [`id`], [`clock`] | [`cairn_model`] |
//!
//! Three more crates build on this one: `cairn_cli` (the command line, also for programs with domains of their own), `cairn_laws`
//! (tests of plugins) and `cairn_bench` (measurements). The library uses no terminal, no environment variables and no home directory.
//! `host/ARCHITECTURE.md` in the repository describes how the crates work together.
//!
//! # The builder
//!
//! [`Cairn::builder`] configures the rest: `cairn.toml`, another store, a policy, workers and their queue, folders, and tasks in native
//! code. A task changes state through its [`Context`] by [effects](rules::Effect), which the store keeps with their inverses. When a task
//! fails, the host undoes the effects of that task, then reverts the tasks before it:
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::sync::Arc;
//!
//! use cairn::volumes::{Expiry, QuotaReserve};
//! use cairn::{Cairn, Context, Identity, Object, Task, TaskError, TaskSpec, Value, Verdict};
//! use serde_json::json;
//!
//! struct Reserve(TaskSpec);
//!
//! impl Task for Reserve {
//!     fn spec(&self) -> &TaskSpec {
//!         &self.0
//!     }
//!     fn call(&self, context: &Arc<dyn Context>, inputs: Object) -> Result<Value, TaskError> {
//!         let size = inputs["size"].as_i64().unwrap_or(1);
//!         let deltas = BTreeMap::from([("gigabytes".to_owned(), size)]);
//!         context.apply(&QuotaReserve { project: None, deltas, expiry: Expiry::Default })?;
//!         Ok(Value::Null)
//!     }
//! }
//!
//! let reserve = Reserve(TaskSpec::new("reserve").requires(["size"]));
//! let cairn = Cairn::builder().in_memory().native(reserve).build()?;
//! let manifest = r#"
//!     flow = { name = "twice" }
//!     plugins.inject = { builtin = "inject", settings = { provides = ["size"] } }
//!     plugins.reserve = { builtin = "reserve" }
//!     task = [{ plugin = "inject" }, { plugin = "reserve" }, { plugin = "reserve", name = "again" }]
//! "#;
//! let flow = cairn.flow_of(manifest, "flow.toml")?;
//! let report = flow.run(&Identity::new("ann", "acme"), json!({"size": 600}))?;
//! assert_eq!(report.error.unwrap().kind, "OverQuota", "the limit is 1000 GiB");
//! assert_eq!(report.rollback.unwrap().verdict, Verdict::Clean);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A component that is not built in is refused unless the builder is given a [compiler](CairnBuilder::compiler).
//!
//! # Domains
//!
//! A domain defines a kind of state that flows may change. An [`Extension`](extension::Extension) adds one to a program: tables with their
//! rules, effects and facts ([`domain::Domain`]), capabilities that manifests may grant to plugins ([`capability::Capability`]), and keys of
//! `cairn.toml`. Pass it to [`CairnBuilder::domain`], or to `cairn_cli::main_with` for a command line with it. `tests/src/tickets.rs` in the
//! repository is the smallest example; [`volumes`] and [`records`] come with this crate.
//!
//! # Features
//!
//! All are on by default: `builtins` embeds the built-in plugins (which the build compiles to WebAssembly), `volumes` adds block
//! storage, `records` adds JSON records. The engine builds without any of them: `cargo check -p cairn --no-default-features`.

#![warn(missing_docs)]

mod builder;
mod extensions;
mod keys;
mod operator;
mod planned;
mod short;

/// Extensions: domains with their capabilities and settings.
pub mod extension {
    pub use cairn_sandbox::extension::{Extension, Setup};

    pub use crate::extensions::{capabilities_of, extensions, extensions_with, grant_kinds_of};
}

pub use builder::CairnBuilder;
pub use extensions::{grant_kinds, plugin_config};
pub use keys::key_source;
pub use planned::PlannedFlow;
pub use short::Cairn;

pub use cairn_deliver as deliver;
pub use cairn_effects::{
    domain, effect, event, history, keyring, net, outbox, report, rows, rules, table, task,
};
pub use cairn_engine::{flow, host};
pub use cairn_manifest::{allow, config, diff, document, lockfile, manifest, plan, wire};
pub use cairn_model::{
    clock, contract, crash, error, file, id, idempotency, printable, retry, text, value, whole,
};
pub use cairn_policy as policy;
#[cfg(feature = "records")]
pub use cairn_records as records;
pub use cairn_sandbox::{admission, capability, plugin};
pub use cairn_store as store;
#[cfg(feature = "volumes")]
pub use cairn_volumes as volumes;

// Short names of the items that most programs use. Each type is documented once, in its module.
#[doc(no_inline)]
pub use {
    domain::Domains,
    error::{Diagnostic, TaskError},
    flow::{Flow, FlowError},
    host::{Host, HostError, Submission},
    id::{FlowId, Identity, TaskId},
    manifest::Manifest,
    plan::Plan,
    report::{Report, Verdict},
    store::{Sqlite, SqliteConfig, Store, StoreError, flow_request},
    task::{Context, Task, TaskSpec},
    value::{Object, Value},
};
