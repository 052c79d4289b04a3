//! Records: JSON documents by key, counters and sequences of a project, as a domain of Cairn. A flow that writes a key holds (locks) it
//! until the flow ends; other flows see the value published before, and cannot write the key. `host/docs/records.md` is the manual.
//!
//! ```
//! use std::path::Path;
//!
//! use cairn_effects::domain::Domains;
//! use cairn_records::Settings;
//!
//! let settings = Settings::parse("[records.dns]\nmax_keys = 1000", Path::new("cairn.toml"))?;
//! let domains = Domains::new([cairn_records::domain(settings)])?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![warn(missing_docs)]

pub mod capability;
mod config;
pub mod operator;
mod rules;
mod settings;

pub use config::CONFIG_KEYS;
pub use rules::*;
pub use settings::{Bounds, Collection, Limits, Reads, Settings, ValueSchema};

use cairn_effects::domain::Domain;
use cairn_effects::rows::Services;
use cairn_model::error::Diagnostic;
use cairn_sandbox::extension::{Extension, Setup};

/// The name of the domain.
pub const NAME: &str = "records";

/// Returns records with their capability and the settings of `cairn.toml`.
pub fn extension() -> Extension {
    extension_of(|setup| Settings::parse(&setup.text, &setup.file))
}

/// Returns records with their capability and these settings; ignores `cairn.toml`.
pub fn extension_with(settings: Settings) -> Extension {
    extension_of(move |_| Ok(settings.clone()))
}

fn extension_of(
    settings: impl Fn(&Setup) -> Result<Settings, Diagnostic> + Send + Sync + 'static,
) -> Extension {
    Extension::configured(NAME, CONFIG_KEYS, move |setup| Ok(domain(settings(setup)?)))
        .capabilities([capability::capability()])
}

/// Returns the domain of records with these settings.
pub fn domain(settings: Settings) -> Domain {
    Domain {
        name: NAME,
        tables: rules::registered(),
        migrations: &[include_str!("../migrations/01-initial.sql")],
        postgres: &[include_str!("../migrations/postgres/01-initial.sql")],
        services: Services::default().with(settings),
        ..Domain::default()
    }
}
