use cairn_effects::effect::Query;
use cairn_manifest::manifest::Capability;

use super::State;
use crate::wit::cairn::plugin::images::Host;
use crate::wit::cairn::plugin::types;

impl Host for State {
    fn show(&mut self, id: String) -> wasmtime::Result<Result<String, types::Error>> {
        self.grant(Capability::Images)?;
        self.query_json(&Query::Image(id))
    }
}
