use super::State;
use crate::effect::Query;
use crate::manifest::Capability;
use crate::wit::cairn::plugin::images::Host;
use crate::wit::cairn::plugin::types;

impl Host for State {
    fn show(&mut self, id: String) -> wasmtime::Result<Result<String, types::Error>> {
        self.grant(Capability::Images)?;
        self.query_json(&Query::Image(id))
    }
}
