use crate::rules::ShowImage;
use cairn_manifest::manifest::SimpleGrantKind;

use super::wit::cairn::plugin::images::{self, Host};
use cairn_sandbox::capability::{SimpleCapability, State};
use cairn_sandbox::wasmtime;
use cairn_sandbox::wasmtime::component::HasSelf;
use cairn_sandbox::wit::cairn::plugin::types;

/// The capability `images`.
pub(super) const CAPABILITY: SimpleCapability = SimpleCapability::new(
    SimpleGrantKind::new("images", &["cairn:plugin/images"], &["show"]),
    |linker| images::add_to_linker::<State, HasSelf<State>>(linker, State::enter),
);

impl Host for State {
    fn show(&mut self, id: String) -> wasmtime::Result<Result<String, types::Error>> {
        self.grant("images")?;
        self.look_up_json(&ShowImage(id))
    }
}
