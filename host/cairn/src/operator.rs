//! Reads an operator's `cairn.toml` and the policy file that it names.

use std::path::Path;
use std::sync::Arc;

use cairn_manifest::config::Config;
use cairn_manifest::manifest::GrantKinds;
use cairn_model::error::Diagnostic;
use cairn_model::file::{self, MAX_TEXT};
use cairn_policy::Policy;
use cairn_sandbox::capability::Authorities;
use cairn_sandbox::extension::{Extension, Setup};

/// Reads a whole text file. `what` names it in messages.
///
/// # Errors
/// It is no UTF-8 text, is too long, or cannot be read.
pub(crate) fn text(path: &Path, what: &str) -> Result<String, Diagnostic> {
    file::text(path, MAX_TEXT).map_err(|error| {
        let message = format!("{what} cannot be read: {error}");
        let diagnostic = Diagnostic::new(message).at(path, None);
        diagnostic.help("name an existing file that this program may read")
    })
}

/// Reads a `cairn.toml`: the settings of the engine, and the text in which the domains find theirs. Without a file, returns the defaults.
///
/// # Errors
/// The first mistake, with its line and the fix.
pub(crate) fn settings(
    file: Option<&Path>,
    extensions: &[Extension],
    kinds: &GrantKinds,
) -> Result<(Config, Setup), Diagnostic> {
    let Some(path) = file else {
        return Ok(Default::default());
    };
    let text = text(path, "the settings")?;
    let keys = extensions.iter().flat_map(|extension| extension.keys());
    let keys: Vec<&str> = keys.copied().collect();
    let config = Config::parse(&text, path, kinds, &keys)?;
    Ok((config, Setup::new(text, path)))
}

/// Reads the authorities by which servers of plugins' requests are verified.
///
/// # Errors
/// The file that `[http]` names cannot be used.
pub(crate) fn authorities(config: &Config) -> Result<Authorities, Diagnostic> {
    match &config.http_ca {
        Some(file) => Authorities::with_file(file),
        None => Ok(Authorities::default()),
    }
}

/// Reads an operator's rules in the text of a file, which override built-in rules of the same names.
///
/// # Errors
/// A rule that cannot be read, with its line.
pub(crate) fn policy(rules: &str, file: &Path) -> Result<Arc<Policy>, Diagnostic> {
    let own = Policy::parse(rules, Some(file))?;
    let policy = Policy::default().with(own)?;
    for warning in policy.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(Arc::new(policy))
}
