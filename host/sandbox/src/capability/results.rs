use wasmtime::component::HasSelf;

use cairn_manifest::manifest::SimpleGrantKind;
use cairn_model::value::text;

use super::{SimpleCapability, State};
use crate::wit::cairn::plugin::results::{self, Host};

/// The capability `results`.
pub(super) const CAPABILITY: SimpleCapability = SimpleCapability::new(
    SimpleGrantKind::new("results", &["cairn:plugin/results"], &["get"]),
    |linker| results::add_to_linker::<State, HasSelf<State>>(linker, State::enter),
);

impl Host for State {
    fn get(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        self.grant("results")?;
        Ok(self
            .active()?
            .context
            .result(&name)
            .map(|value| text(&value)))
    }

    fn tasks(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        self.grant("results")?;
        let results = self.active()?.context.results();
        Ok(results
            .into_iter()
            .map(|(task, result)| (task, text(&result)))
            .collect())
    }
}
