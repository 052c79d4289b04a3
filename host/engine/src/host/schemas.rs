//! What stored components say of themselves: the schemas of their settings, and their interfaces.

use cairn_manifest::manifest::Limits;
use cairn_model::value::{Digest, Value};

use super::{Host, HostError};

impl Host {
    /// Returns the JSON schema of the settings of a component of a stored plan. Runs a function of the component.
    ///
    /// # Errors
    /// [`HostError::Plugin`] when it cannot be loaded, or does not return a schema; [`HostError::Store`].
    pub fn settings_schema(&self, digest: Digest) -> Result<Value, HostError> {
        let plugin = self.core.component(digest, "the component")?;
        Ok(plugin.settings_schema(&Limits::default())?)
    }

    /// Returns what a component of a stored plan imports and exports, as WIT of at most 64 KiB. Runs no code of the component.
    ///
    /// # Errors
    /// [`HostError::Plugin`] when it cannot be loaded; [`HostError::Store`].
    pub fn wit(&self, digest: Digest) -> Result<String, HostError> {
        Ok(self.core.component(digest, "the component")?.wit())
    }
}
