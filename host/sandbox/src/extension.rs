//! Extensions: a domain with its capabilities and settings, as one value.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_effects::domain::Domain;
use cairn_effects::keyring::KeySource;
use cairn_model::error::Diagnostic;

use crate::capability::Capability;

/// Creates the domain of an extension.
type Configure = dyn Fn(&Setup) -> Result<Domain, Diagnostic> + Send + Sync;

/// A domain with its capabilities and its part of the operator's settings: tables, rules, facts, interfaces for plugins, grant kinds
/// and keys of `cairn.toml`.
///
/// The short API and the command line take extensions, so that a program hands over a domain once.
#[derive(Clone)]
pub struct Extension {
    name: &'static str,
    capabilities: Vec<Arc<dyn Capability>>,
    keys: &'static [&'static str],
    configure: Arc<Configure>,
}

/// The operator's settings, of which an extension reads its own part.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Setup {
    /// The text of `cairn.toml`; empty when there is none.
    pub text: String,
    /// The file of the text, for messages. Relative paths in the text start at its folder.
    pub file: PathBuf,
    /// Where the master key for secrets comes from.
    pub keys: KeySource,
}

impl Setup {
    /// Creates a setup from the text of a `cairn.toml`, with the master key in memory.
    pub fn new(text: impl Into<String>, file: impl AsRef<Path>) -> Self {
        Self {
            text: text.into(),
            file: file.as_ref().to_owned(),
            keys: KeySource::Memory,
        }
    }

    /// Sets where the master key comes from.
    #[must_use]
    pub fn keys(mut self, keys: KeySource) -> Self {
        self.keys = keys;
        self
    }
}

impl Extension {
    /// Creates an extension of a domain that reads `keys` of the operator's settings. `configure` creates the domain, once for
    /// each store that is opened with it; the domain must have this name.
    pub fn configured(
        name: &'static str,
        keys: &'static [&'static str],
        configure: impl Fn(&Setup) -> Result<Domain, Diagnostic> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            capabilities: Vec::new(),
            keys,
            configure: Arc::new(configure),
        }
    }

    /// Adds capabilities, in the order in which grants are written.
    #[must_use]
    pub fn capabilities(
        mut self,
        capabilities: impl IntoIterator<Item = Arc<dyn Capability>>,
    ) -> Self {
        self.capabilities.extend(capabilities);
        self
    }

    /// Adds one capability.
    #[must_use]
    pub fn capability(self, capability: impl Capability + 'static) -> Self {
        self.capabilities([Arc::new(capability) as Arc<dyn Capability>])
    }

    /// Returns the name of the domain.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the capabilities that plugins may be granted.
    pub fn offers(&self) -> &[Arc<dyn Capability>] {
        &self.capabilities
    }

    /// Returns the keys of `cairn.toml` that the extension reads.
    pub fn keys(&self) -> &'static [&'static str] {
        self.keys
    }

    /// Creates the domain with the operator's settings.
    ///
    /// # Errors
    /// The first problem in the settings, with its line and the fix.
    pub fn domain(&self, setup: &Setup) -> Result<Domain, Diagnostic> {
        let domain = (self.configure)(setup)?;
        if domain.name != self.name {
            let message = format!(
                "the extension `{}` makes a domain of another name, `{}`",
                self.name, domain.name
            );
            return Err(Diagnostic::new(message).help("give both one name"));
        }
        Ok(domain)
    }
}

/// Creates an extension without settings and capabilities.
impl From<Domain> for Extension {
    fn from(domain: Domain) -> Self {
        Self::configured(domain.name, &[], move |_| Ok(domain.clone()))
    }
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extension")
            .field("name", &self.name)
            .field("capabilities", &self.capabilities)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &'static str) -> Domain {
        Domain {
            name,
            ..Domain::default()
        }
    }

    #[test]
    fn an_extension_reads_its_own_part_of_the_settings() {
        let extension = Extension::configured("shelves", &["shelves"], |setup| {
            match setup.text.contains("shelves") {
                true => Ok(named("shelves")),
                false => Err(Diagnostic::new("no shelves").at(&setup.file, Some(1))),
            }
        });
        assert_eq!(extension.keys(), ["shelves"]);
        let domain = extension.domain(&Setup::new("shelves = 1", "cairn.toml"));
        assert_eq!(domain.unwrap().name, "shelves");
        let error = extension.domain(&Setup::default()).unwrap_err();
        assert!(error.to_string().starts_with("no shelves"), "{error}");
    }

    #[test]
    fn a_domain_of_another_name_is_refused() {
        let extension = Extension::configured("one", &[], |_| Ok(named("other")));
        let error = extension.domain(&Setup::default()).unwrap_err();
        assert!(error.to_string().contains("`one`"), "{error}");
        assert!(error.to_string().contains("`other`"), "{error}");
    }
}
