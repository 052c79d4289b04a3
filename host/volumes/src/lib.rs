//! Block storage of OpenStack Cinder 2013.2, as a domain of Cairn: tables, effects, look-ups, quotas, capabilities for plugins, and
//! operations for operators.
//!
//! ```
//! use cairn_effects::domain::Domains;
//! use cairn_store::SqliteConfig;
//!
//! let domains = Domains::new([cairn_volumes::domain(Default::default())])?;
//! let config = SqliteConfig { domains, ..SqliteConfig::default() };
//! # Ok::<(), cairn_effects::domain::DomainError>(())
//! ```

#![warn(missing_docs)]

pub mod capability;
mod config;
pub mod operator;
pub mod quota;
mod request;
mod rules;

pub use config::CONFIG_KEYS;
pub use rules::*;

use cairn_effects::domain::{Domain, Fact};
use cairn_effects::keyring::Keyring;
use cairn_effects::rows::Services;
use cairn_effects::rules::Effect as _;
use cairn_model::error::Diagnostic;
use cairn_sandbox::extension::{Extension, Setup};

/// The name of the domain.
pub const NAME: &str = "volumes";

/// The fact that a flow has committed quota: a call committed quota, and that was not undone.
pub const QUOTA_COMMITTED: &str = "quota-committed";

/// The zone of a volume when neither the request nor the operator names one.
pub const DEFAULT_ZONE: &str = "nova";

/// Returns block storage with its capabilities and the settings of `cairn.toml`.
pub fn extension() -> Extension {
    extension_of(|setup| {
        Ok(Settings {
            keys: setup.keys.clone(),
            ..Settings::parse(&setup.text, &setup.file)?
        })
    })
}

/// Returns block storage with its capabilities and these settings; ignores `cairn.toml`.
pub fn extension_with(settings: Settings) -> Extension {
    extension_of(move |_| Ok(settings.clone()))
}

fn extension_of(
    settings: impl Fn(&Setup) -> Result<Settings, Diagnostic> + Send + Sync + 'static,
) -> Extension {
    Extension::configured(NAME, CONFIG_KEYS, move |setup| Ok(domain(settings(setup)?)))
        .capabilities(capability::capabilities())
}

/// Returns the domain of block storage with these settings.
pub fn domain(settings: Settings) -> Domain {
    Domain {
        name: NAME,
        tables: rules::registered(),
        facts: vec![Fact {
            name: QUOTA_COMMITTED,
            holds: |applied| applied.effect == QuotaCommit::NAME && !applied.changes.is_empty(),
        }],
        // `stage-1` of the store's migrations creates the tables.
        migrations: &["", include_str!("../migrations/02-flags.sql")],
        postgres: &[include_str!("../migrations/postgres/01-initial.sql")],
        services: Services::default()
            .with(Keyring::new(settings.keys.clone()).sealed_keys(rules::A_SEALED_KEY))
            .with(settings)
            .with(request::VOLUME_CREATE)
            .with(operator::quota_check()),
    }
}
