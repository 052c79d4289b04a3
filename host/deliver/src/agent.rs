//! The client of requests to URLs that the operator has set: no redirects, no proxy from the environment, and every answer has a bound.

use std::path::Path;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use cairn_model::error::Diagnostic;
use cairn_model::file;

/// How many requests to one host are under way at once.
pub const AT_ONCE: usize = 8;

/// Makes a client whose requests take no longer than `timeout` each. It trusts the authorities in the file `ca`, in PEM, or the usual ones; the
/// file is named in this table of `cairn.toml`.
///
/// # Errors
/// The file of authorities cannot be used.
pub fn make(timeout: Duration, ca: Option<&Path>, table: &str) -> Result<Agent, Diagnostic> {
    let roots = match ca {
        Some(path) => authorities(path, table)?,
        None => RootCerts::WebPki,
    };
    let config = Agent::config_builder()
        .timeout_global(Some(timeout))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .proxy(None)
        .user_agent(concat!("cairn/", env!("CARGO_PKG_VERSION")))
        .max_response_header_size(16 << 10)
        .max_idle_connections_per_host(AT_ONCE)
        .tls_config(TlsConfig::builder().root_certs(roots).build());
    Ok(config.build().new_agent())
}

fn authorities(path: &Path, table: &str) -> Result<RootCerts, Diagnostic> {
    let wrong = |problem: String| {
        Diagnostic::new(format!("the authorities cannot be used: {problem}"))
            .at(path, None)
            .help(format!(
                "name a file of certificates in PEM with `ca` in [{table}]"
            ))
    };
    let text = file::text(path, file::MAX_TEXT).map_err(|error| wrong(error.to_string()))?;
    let mut found: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(text.as_bytes()) {
        match item.map_err(|error| wrong(error.to_string()))? {
            PemItem::Certificate(certificate) => found.push(certificate),
            _ => return Err(wrong("it holds more than certificates".to_owned())),
        }
    }
    match found.is_empty() {
        true => Err(wrong("it holds no certificate".to_owned())),
        false => Ok(RootCerts::new_with_certs(&found)),
    }
}
