//! How a store on a server is reached.

use std::time::Duration;

use cairn_manifest::config::PostgresSettings;
use cairn_model::error::Diagnostic;
use cairn_store::postgres::{PostgresConfig, PostgresUrl};

/// Returns how to connect to the database at a URL by an operator's settings. Everything else has its default.
///
/// # Errors
/// The URL cannot be used.
pub fn config(
    url: &str,
    settings: &PostgresSettings,
    lease: Option<Duration>,
) -> Result<PostgresConfig, Diagnostic> {
    let url = PostgresUrl::parse(url).map_err(|error| Diagnostic::new(error.to_string()))?;
    let defaults = PostgresConfig::new(url);
    Ok(PostgresConfig {
        password: settings.password.clone(),
        root_certificate: settings.root_certificate.clone(),
        unsafe_server: settings.unsafe_server,
        lease: lease.unwrap_or(defaults.lease),
        ..defaults
    })
}
