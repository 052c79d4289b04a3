//! Flows of tasks that succeed as a unit or are rolled back as a unit.
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
//! [`Cairn::open`] takes a SQLite database, the built-in plugins, the domains that come with this crate, and the default policy. A
//! [`PlannedFlow`] is a manifest whose every plugin was loaded, checked and wired. The [`Report`] says what each task returned, or why
//! one failed and what the rollback came to. [`PlannedFlow::submit`] runs many flows at once, and takes the key under which a request is
//! done once. [`Cairn::recover`] takes up what a process that died left behind: call it when the program starts.
//!
//! # The builder
//!
//! [`Cairn::builder`] takes everything else: `cairn.toml`, another store, a policy, workers and their queue, folders, and tasks in native
//! code. A task changes things through its [`Context`] as an [effect](rules::Effect), which the store keeps with its inverse. When a task
//! fails, the host undoes what that task did, and walks back through those before it:
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
//! A component that does not come with the program is refused unless the builder is given a [compiler](CairnBuilder::compiler) that works
//! within limits.
//!
//! # Domains
//!
//! What flows may change is said by domains. An [`Extension`](extension::Extension) is a domain with all that it brings: tables with their rules, effects and
//! facts ([`domain::Domain`]), capabilities that plugins may be granted ([`capability::Capability`]), and keys of `cairn.toml`.
//! [`CairnBuilder::domain`] takes it, and `cairn_cli::main_with` gives it the whole command line. `tests/src/tickets.rs` of the
//! repository is the smallest one; [`volumes`] and [`records`] come with this crate.
//!
//! # The parts
//!
//! | part | what is in it |
//! |---|---|
//! | [`host`], [`flow`] | the host below [`Cairn`], which operates on flows and recovers them; a single flow, its states and its listeners |
//! | [`task`], [`rules`], [`rows`], [`effect`], [`domain`], [`report`], [`history`] | what tasks and domains are written against |
//! | [`manifest`], [`plan`], [`lock`], [`allow`], [`config`], [`upgrade`] | manifests, plans, lock files and an operator's settings |
//! | [`plugin`], [`capability`], [`check`] | components, what they may import, policies and validators |
//! | [`store`], [`store::view`], [`store::admin`] | databases; what operators read and change |
//! | [`deliver`] | how messages leave: transports and the dispatcher |
//! | [`policy`] | the rules of who may do what |
//! | [`error`], [`value`], [`id`], [`clock`] | what all parts work with |
//!
//! The library knows no terminal, no environment and no home directory. `host/ARCHITECTURE.md` of the repository says how the parts
//! hang together.
//!
//! # Features
//!
//! All are on by default: `builtins` embeds the built-in plugins (which the build compiles to WebAssembly), `volumes` brings block
//! storage, `records` brings JSON records, `amqp` and `http` bring transports of messages. The engine builds without any of them: `cargo check -p cairn --no-default-features`.

#![warn(missing_docs)]

mod builder;
mod extensions;
mod operator;
mod planned;
mod short;

/// Domains with all that they bring to a program.
pub mod extension {
    pub use cairn_sandbox::extension::{Extension, Setup};

    pub use crate::extensions::{capabilities_of, extensions, extensions_with, grant_kinds_of};
}

pub use builder::CairnBuilder;
pub use extensions::{grant_kinds, plugin_config};
pub use planned::PlannedFlow;
pub use short::Cairn;

pub use cairn_deliver as deliver;
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
pub use cairn_store as store;
#[cfg(feature = "volumes")]
pub use cairn_volumes as volumes;

// Short names of what most programs use. Each type is documented once, in its module.
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
    store::{Sqlite, SqliteConfig, Store, StoreError, request},
    task::{Context, Task, TaskSpec},
    value::{Object, Value},
};
