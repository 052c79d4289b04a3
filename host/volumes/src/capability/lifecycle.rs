use crate::rules::{VolumeCreate, VolumeDestroy, VolumeUpdate};
use cairn_effects::rules::Effect;
use cairn_manifest::manifest::SimpleGrantKind;
use cairn_model::value::{Value, text};

use super::wit::cairn::plugin::volumes::{self, Host};
use cairn_sandbox::capability::{SimpleCapability, State, object, to_wit};
use cairn_sandbox::wasmtime;
use cairn_sandbox::wasmtime::component::HasSelf;
use cairn_sandbox::wit::cairn::plugin::types;

/// The capability `volumes`.
pub(super) const CAPABILITY: SimpleCapability = SimpleCapability::new(
    SimpleGrantKind::new(
        "volumes",
        &["cairn:plugin/volumes"],
        &["create", "update", "destroy"],
    ),
    |linker| volumes::add_to_linker::<State, HasSelf<State>>(linker, State::enter),
);

type Reply = wasmtime::Result<Result<String, types::Error>>;

fn volume(state: &mut State, effect: &impl Effect<Answer = Value>) -> Reply {
    let volume = state.apply(effect)?;
    Ok(volume.map(|volume| text(&volume)).map_err(to_wit))
}

impl Host for State {
    fn create(&mut self, properties: String) -> Reply {
        self.grant("volumes")?;
        match object(&properties, "the properties") {
            Ok(properties) => volume(self, &VolumeCreate { properties }),
            Err(error) => Ok(Err(error)),
        }
    }

    fn update(&mut self, id: String, changes: String) -> Reply {
        self.grant("volumes")?;
        match object(&changes, "the changes") {
            Ok(changes) => volume(self, &VolumeUpdate { id, changes }),
            Err(error) => Ok(Err(error)),
        }
    }

    fn destroy(&mut self, id: String) -> wasmtime::Result<Result<(), types::Error>> {
        self.grant("volumes")?;
        Ok(self.apply(&VolumeDestroy { id })?.map_err(to_wit))
    }
}
