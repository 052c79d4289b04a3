use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use cairn_model::value::Digest;

/// Why a plugin cannot be used. It can be written as JSON, for a compiler in another process.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PluginError {
    /// This machine cannot run plugins.
    #[error("the sandbox cannot be set up: {0}")]
    Sandbox(String),
    /// The folder of compiled components.
    #[error("the cache of compiled plugins at {} cannot be used: {problem}", .folder.display())]
    Cache {
        /// The folder.
        folder: PathBuf,
        /// What is wrong, and the fix.
        problem: String,
    },
    /// More bytes than a component may have.
    #[error("the component has {size} bytes, and {most} are allowed (the limit `component_bytes`)")]
    TooLarge {
        /// Bytes it has.
        size: u64,
        /// Bytes it may have.
        most: u64,
    },
    /// More code than is compiled.
    #[error("the component has {found} {what}, and {most} are the most that is compiled")]
    TooComplex {
        /// What there is too much of.
        what: String,
        /// How many it has.
        found: usize,
        /// How many it may have.
        most: usize,
    },
    /// The compiler did not get done with it.
    #[error("the component could not be compiled: {0}")]
    Compiler(String),
    /// The compiler did not get to it, or was stopped, for reasons that are not the component's.
    #[error("the component was not compiled: the process that compiles {0}")]
    NotCompiled(String),
    /// It does not come with the program, and there is no compiler for such components.
    #[error(
        "the component {digest} does not come with this program, which has no compiler with limits for components of others"
    )]
    Untrusted {
        /// Digest of its bytes.
        digest: Digest,
    },
    /// The bytes are machine code.
    #[error("this is a compiled component: machine code, which would run outside of the sandbox")]
    Precompiled,
    /// The bytes end in the middle.
    #[error("the component ends in the middle, at byte {at}: the file is truncated")]
    Truncated {
        /// Where something is missing.
        at: usize,
    },
    /// The bytes are no WebAssembly.
    #[error("this is no WebAssembly component: {0}")]
    NotAComponent(String),
    /// The bytes are a core module.
    #[error("this is a core WebAssembly module, not a component")]
    CoreModule,
    /// The component does not compile.
    #[error("the component is not valid: {0}")]
    Invalid(String),
    /// An import has another type than the host's function of that name.
    #[error("what the component imports is not what this host has: {0}")]
    Mismatch(String),
    /// It was built against another version of the contract.
    #[error("the component was built for `{found}`, and this host has `{expected}`")]
    WrongVersion {
        /// The interface that the component names.
        found: String,
        /// The one that this host has.
        expected: String,
    },
    /// It exports too little.
    #[error("the component does not export `{export}`; it exports {}", list(.exports))]
    MissingExport {
        /// The interface, with its version.
        export: String,
        /// What it does export.
        exports: Vec<String>,
    },
    /// It imports what the host does not have.
    #[error("the component imports `{import}`, which this host does not have")]
    UnknownImport {
        /// The import, with its version.
        import: String,
    },
    /// It imports outbound HTTP.
    #[error("the component imports `{import}`: plugins have no network")]
    Network {
        /// The import, with its version.
        import: String,
    },
    /// It failed while it described itself.
    #[error("the plugin could not describe itself: {0}")]
    Describe(String),
    /// It described itself, but not as the contract asks.
    #[error("the plugin's description is wrong: {0}")]
    Description(String),
}

fn list(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        names => names.join(", "),
    }
}

/// What to do about an import that this host does not have: it depends on whose interface it is.
fn of_unknown(import: &str) -> &'static str {
    if import.starts_with(cairn_model::contract::PACKAGE) {
        "build it against the version of cairn:plugin that this host has, or use a newer host"
    } else if import.starts_with("wasi:") {
        "of WASI this host has `io`, `cli`, `clocks`, `random`, `filesystem` and `sockets` of version 0.2, without any file or network \
         behind them; build the plugin without what needs more, or with a toolchain that targets WASI 0.2"
    } else {
        "a plugin may import interfaces of `cairn:plugin` and of `wasi:` 0.2, and no others; build it without the library that needs this one"
    }
}

impl PluginError {
    /// What to do about it.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::NotAComponent(_) | Self::Invalid(_) => Some(
                "build it with `cargo build --release --target wasm32-wasip2`, and name the .wasm file that makes",
            ),
            Self::CoreModule => Some(
                "build it for the target wasm32-wasip2, or make a component of it with `wasm-tools component new`",
            ),
            Self::MissingExport { .. } => Some(
                "a task exports the interfaces of the world `cairn:plugin/task-plugin`, a policy those of `policy-plugin`, a validator those of `validator-plugin`; in Rust `cairn_plugin::export!`, `export_policy!` or `export_validator!` does it",
            ),
            Self::UnknownImport { import } => Some(of_unknown(import)),
            Self::Precompiled => {
                Some("name the component itself, the .wasm file; it is compiled once and kept")
            }
            Self::Truncated { .. } => Some("copy or build it again, and compare its SHA-256"),
            Self::TooLarge { .. } => Some(
                "raise `component_bytes` in the plugin's limits, or build it smaller: in release mode, without debug info",
            ),
            Self::TooComplex { .. } => {
                Some("no compiler of a common language makes that; ask its author what it is for")
            }
            Self::Compiler(_) => Some(
                "build it smaller: in release mode, without what it does not need; or raise the limit in [compile] of the operator's cairn.toml",
            ),
            Self::NotCompiled(_) => Some(
                "try again; when that does not help, look whether this machine has memory left, and install the program anew",
            ),
            Self::Untrusted { .. } => Some(
                "give the program a compiler that works in a process with limits (`compiler` of the builder, or of `PluginConfig`), or register the component among its built-in plugins if you trust it",
            ),
            Self::Mismatch(_) => Some(
                "build it against the .wit files of this host: `wit/` of its sources, or `cairn plugin new`",
            ),
            Self::WrongVersion { .. } => Some(
                "build it against the version of cairn:plugin that this host has, or use another host",
            ),
            Self::Network { .. } => Some(
                "build it without HTTP: with componentize-js disable the features `http` and `fetch-event`",
            ),
            Self::Sandbox(_) | Self::Cache { .. } | Self::Describe(_) | Self::Description(_) => {
                None
            }
        }
    }
}
