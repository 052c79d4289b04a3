use std::path::PathBuf;

/// Why a plugin cannot be used.
#[derive(Debug, thiserror::Error)]
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
    #[error("the component has {size} bytes, and {most} are allowed")]
    TooLarge {
        /// Bytes it has.
        size: usize,
        /// Bytes it may have.
        most: usize,
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
    /// It exports too little.
    #[error("the component does not export `{export}`")]
    MissingExport {
        /// The interface, with its version.
        export: String,
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
            Self::UnknownImport { .. } => Some(
                "build it against the version of cairn:plugin that this host has, or use a newer host",
            ),
            Self::Network { .. } => Some(
                "build it without HTTP: with componentize-js disable the features `http` and `fetch-event`",
            ),
            Self::Sandbox(_)
            | Self::Cache { .. }
            | Self::TooLarge { .. }
            | Self::Describe(_)
            | Self::Description(_) => None,
        }
    }
}
