//! The schemas of settings of stored components.

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
}
