use super::State;
use crate::manifest::Capability;
use crate::wit::cairn::plugin::results::Host;

impl Host for State {
    fn get(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        self.grant(Capability::Results)?;
        Ok(self
            .active()?
            .context
            .result(&name)
            .map(|value| value.to_string()))
    }

    fn tasks(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        self.grant(Capability::Results)?;
        let results = self.active()?.context.results();
        Ok(results
            .into_iter()
            .map(|(task, result)| (task, result.to_string()))
            .collect())
    }
}
