use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use cairn_model::value::Digest;

/// Why a plugin cannot be used. Serializable, for a compiler in another process.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PluginError {
    /// This machine cannot run plugins.
    #[error("the sandbox cannot be set up: {0}")]
    Sandbox(String),
    /// The folder of compiled components cannot be used.
    #[error("the cache of compiled plugins at {} cannot be used: {problem}", .folder.display())]
    Cache {
        /// The folder.
        folder: PathBuf,
        /// The problem, and the fix.
        problem: String,
    },
    /// The component has too many bytes.
    #[error("the component has {size} bytes, and {most} are allowed (the limit `component_bytes`)")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        most: u64,
    },
    /// The component has more code than is compiled.
    #[error("the component has {found} {what}, and {most} are the most that is compiled")]
    TooComplex {
        /// The quantity that exceeds its limit.
        what: String,
        /// The component's amount.
        found: usize,
        /// The limit.
        most: usize,
    },
    /// The compiler exceeded its limits.
    #[error("the component could not be compiled: {0}")]
    Compiler(String),
    /// The component was not compiled, for reasons other than the component.
    #[error("the component was not compiled: the process that compiles {0}")]
    NotCompiled(String),
    /// It is not built in, and there is no compiler for untrusted components.
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
    /// The bytes are truncated.
    #[error("the component ends in the middle, at byte {at}: the file is truncated")]
    Truncated {
        /// The offset at which bytes are missing.
        at: usize,
    },
    /// The bytes are not WebAssembly.
    #[error("this is no WebAssembly component: {0}")]
    NotAComponent(String),
    /// The bytes are a core module.
    #[error("this is a core WebAssembly module, not a component")]
    CoreModule,
    /// The component does not compile.
    #[error("the component is not valid: {0}")]
    Invalid(String),
    /// An import has another type than the host's function of that name.
    #[error("an import of the component has another type than this host's function: {0}")]
    Mismatch(String),
    /// It was built against another version of the contract.
    #[error("the component was built for `{found}`, and this host has `{expected}`")]
    WrongVersion {
        /// The interface that the component names.
        found: String,
        /// The one that this host has.
        expected: String,
    },
    /// It lacks an export.
    #[error("the component does not export `{export}`; it exports {}", list(.exports))]
    MissingExport {
        /// The interface, with its version.
        export: String,
        /// The exports that it has.
        exports: Vec<String>,
    },
    /// It imports an interface that the host does not have.
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
    /// Its description breaks the contract.
    #[error("the plugin's description is wrong: {0}")]
    Description(String),
}

fn list(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        names => names.join(", "),
    }
}

/// Returns the help for an import that this host does not have, depending on its package.
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
    /// Returns how to fix it.
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
            Self::TooComplex { .. } => Some(
                "no compiler of a common language produces that; ask its author about its purpose",
            ),
            Self::Compiler(_) => Some(
                "build it smaller: in release mode, without what it does not need; or raise the limit in [compile] of the operator's cairn.toml",
            ),
            Self::NotCompiled(_) => Some(
                "try again; if that does not help, check that this machine has free memory, and reinstall the program",
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
