use cairn_manifest::manifest::Capability;
use cairn_model::value::text;

use super::State;
use crate::wit::cairn::plugin::results::Host;

impl Host for State {
    fn get(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        self.grant(Capability::Results)?;
        Ok(self
            .active()?
            .context
            .result(&name)
            .map(|value| text(&value)))
    }

    fn tasks(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        self.grant(Capability::Results)?;
        let results = self.active()?.context.results();
        Ok(results
            .into_iter()
            .map(|(task, result)| (task, text(&result)))
            .collect())
    }
}
