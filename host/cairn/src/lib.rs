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
//! | check manifests, plans, lock files, upgrades and settings | [`manifest`], [`plan`], [`lockfile`], [`allow`], [`config`], [`diff`], [`flow_diff`] | [`cairn_manifest`] |
//! | load plugins, add capabilities, run admission checks | [`plugin`], [`capability`], [`admission`], [`extension`] | [`cairn_sandbox`] |
//! | open databases; read and change them as an operator | [`store`], [`store::view`], [`store::admin`] | [`cairn_store`] |
//! | use block storage in tasks, or operate on it | [`volumes`] | [`cairn_volumes`] |
//! | use JSON records, counters and sequences, or operate on them | [`records`] | [`cairn_records`] |
//! | read and evaluate access rules | [`policy`] | [`cairn_policy`] |
//! | handle errors, JSON values, ids and times | [`error`], [`value`], [`id`], [`clock`] | [`cairn_model`] |
//!
//! Four more crates build on this one: `cairn_cli` (the command line, also for programs with domains of their own), `cairn_service` (flows over
//! HTTP), `cairn_laws` (tests of plugins) and `cairn_bench` (measurements). The library uses no terminal, no environment variables and no home directory.
//! `host/ARCHITECTURE.md` in the repository describes how the crates work together. The items that most programs use are at the root of
//! this crate; each other item is in its module.
//!
//! # The builder
//!
//! [`Cairn::builder`] configures the rest: `cairn.toml`, a database on a server that other hosts share, another store, a policy, workers and
//! their queue, folders, and tasks in native code. A task changes state through its [`Context`] by [effects](rules::Effect), which the store keeps with their inverses. When a task
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
mod fingerprint;
mod keys;
mod operator;
mod place;
mod planned;
#[cfg(feature = "postgres")]
mod server;
mod short;

/// Extensions: domains with their capabilities and settings.
pub mod extension {
    pub use cairn_sandbox::extension::{Extension, Setup};

    pub use crate::extensions::{capabilities_of, extensions, extensions_with, grant_kinds_of};
}

pub use builder::CairnBuilder;
pub use extensions::{grant_kinds, plugin_config};
pub use fingerprint::Decisive;
pub use keys::key_source;
pub use planned::PlannedFlow;
#[cfg(feature = "postgres")]
pub use server::config as server_config;
pub use short::Cairn;

pub use cairn_deliver as deliver;
/// Re-exports the modules of the crates below, without the items that have their path elsewhere in this crate: a private import hides an
/// item of a glob. `tests/tests/paths.rs` checks that each item has one path.
macro_rules! modules {
    ($($(#[$about:meta])* $name:ident: $($part:ident)::+ without $($item:ident),+;)+) => {$(
        $(#[$about])*
        #[allow(unused_imports, hidden_glob_reexports)]
        pub mod $name {
            pub use $($part)::+::*;
            use $($part)::+::{$($item),+};
        }
    )+};
}

modules! {
    /// Domains: kinds of state that flows may change.
    domain: cairn_effects::domain without Domains;
    /// Reports: the results of tasks, and the account of a rollback.
    report: cairn_effects::report without Report, Verdict;
    /// Tasks, and the functions of the host that they call.
    task: cairn_effects::task without Context, Task, TaskSpec;
    /// Single flows: building, running and reverting them.
    flow: cairn_engine::flow without Flow, FlowError;
    /// The host, which plans, runs and recovers flows, and serves operators.
    host: cairn_engine::host without Host, HostError, Submission;
    /// Manifests: the TOML files from which flows are built.
    manifest: cairn_manifest::manifest without Manifest, Retry;
    /// Plans: manifests that were checked and wired.
    plan: cairn_manifest::plan without Plan;
    /// Errors of tasks and hosts, and messages with a place and a fix.
    error: cairn_model::error without Diagnostic, TaskError;
    /// Ids of flows and tasks, and the identity of a caller.
    id: cairn_model::id without FlowId, Identity, TaskId;
    /// JSON values, which keep numbers as they were written.
    value: cairn_model::value without Object, Value;
}

/// Databases, as flows, hosts and operators use them.
#[allow(unused_imports, hidden_glob_reexports)]
pub mod store {
    pub use cairn_store::*;
    use cairn_store::{Caller, Sqlite, SqliteConfig, Store, StoreError, flow_request};

    /// The interface of a store to hosts.
    pub mod host {
        pub use cairn_store::host::*;
        use cairn_store::host::{Component, HostStore};
    }
}

pub use cairn_effects::{
    effect, event, external, history, keyring, net, outbox, rows, rules, table,
};
pub use cairn_engine::externals;
pub use cairn_manifest::{allow, config, diff, document, flow_diff, lockfile, wire};
pub use cairn_model::{
    audit, clock, contract, crash, file, idempotency, printable, retry, secret, status, text,
    token, trace, whole,
};
pub use cairn_policy as policy;
#[cfg(feature = "records")]
pub use cairn_records as records;
pub use cairn_sandbox::{admission, capability, plugin};
#[cfg(feature = "otlp")]
pub use cairn_traces as traces;
#[cfg(feature = "volumes")]
pub use cairn_volumes as volumes;

// The items that most programs use.
#[doc(no_inline)]
pub use {
    cairn_effects::domain::Domains,
    cairn_effects::report::{Report, Verdict},
    cairn_effects::task::{Context, Task, TaskSpec},
    cairn_engine::flow::{Flow, FlowError},
    cairn_engine::host::{Host, HostError, Submission},
    cairn_manifest::manifest::Manifest,
    cairn_manifest::plan::Plan,
    cairn_model::error::{Diagnostic, TaskError},
    cairn_model::id::{FlowId, Identity, TaskId},
    cairn_model::value::{Object, Value},
    cairn_store::{Sqlite, SqliteConfig, Store, StoreError, flow_request},
};
