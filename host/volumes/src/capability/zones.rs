use crate::rules::{IsZoneValid, Settings};
use cairn_manifest::manifest::SimpleGrantKind;

use super::wit::cairn::plugin::zones::{self, Host};
use cairn_sandbox::capability::{SimpleCapability, State, to_wit};
use cairn_sandbox::wasmtime;
use cairn_sandbox::wasmtime::component::HasSelf;
use cairn_sandbox::wit::cairn::plugin::types;

/// The capability `zones`.
pub(super) const CAPABILITY: SimpleCapability = SimpleCapability::new(
    SimpleGrantKind::new("zones", &["cairn:plugin/zones"], &["valid"]),
    |linker| zones::add_to_linker::<State, HasSelf<State>>(linker, State::enter),
);

impl Host for State {
    fn valid(&mut self, zone: String) -> wasmtime::Result<Result<bool, types::Error>> {
        self.grant("zones")?;
        Ok(self.look_up(&IsZoneValid(zone))?.map_err(to_wit))
    }

    fn default(&mut self) -> wasmtime::Result<String> {
        self.grant("zones")?;
        Ok(Settings::of(self.services()?.domains.services())
            .zone()
            .to_owned())
    }
}
