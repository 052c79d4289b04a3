//! Records: JSON documents by key, counters and sequences of a project, as a domain of Cairn. A flow that writes a key holds it until it
//! ends; other flows see what was published before, and cannot write it. `host/docs/records.md` is the manual.
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

/// Records, as an operator has set them up.
pub fn domain(settings: Settings) -> Domain {
    Domain {
        name: "records",
        tables: rules::registered(),
        migrations: &[include_str!("../migrations/01-initial.sql")],
        services: Services::default().with(settings),
        ..Domain::default()
    }
}
