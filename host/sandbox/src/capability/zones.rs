use cairn_effects::volumes::IsZoneValid;
use cairn_manifest::manifest::Capability;

use super::{State, to_wit};
use crate::wit::cairn::plugin::types;
use crate::wit::cairn::plugin::zones::Host;

impl Host for State {
    fn valid(&mut self, zone: String) -> wasmtime::Result<Result<bool, types::Error>> {
        self.grant(Capability::Zones)?;
        Ok(self.look_up(&IsZoneValid(zone))?.map_err(to_wit))
    }

    fn default(&mut self) -> wasmtime::Result<String> {
        self.grant(Capability::Zones)?;
        Ok(self.active()?.services.default_zone.clone())
    }
}
