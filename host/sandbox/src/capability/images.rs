use cairn_effects::volumes::ShowImage;
use cairn_manifest::manifest::Capability;

use super::State;
use crate::wit::cairn::plugin::images::Host;
use crate::wit::cairn::plugin::types;

impl Host for State {
    fn show(&mut self, id: String) -> wasmtime::Result<Result<String, types::Error>> {
        self.grant(Capability::Images)?;
        self.look_up_json(&ShowImage(id))
    }
}
