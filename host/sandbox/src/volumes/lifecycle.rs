use cairn_effects::effect::{Answer, Effect, VolumeCreate, VolumeDestroy, VolumeUpdate};
use cairn_manifest::manifest::SimpleGrantKind;
use cairn_model::value::text;

use super::wit::cairn::plugin::volumes::{self, Host};
use crate::capability::{SimpleCapability, State, object, to_wit};
use crate::wasmtime;
use crate::wasmtime::component::HasSelf;
use crate::wit::cairn::plugin::types;

/// What a plugin is granted as `volumes`.
pub(super) const CAPABILITY: SimpleCapability = SimpleCapability::new(
    SimpleGrantKind::new(
        "volumes",
        &["cairn:plugin/volumes"],
        &["create", "update", "destroy"],
    ),
    |linker| volumes::add_to_linker::<State, HasSelf<State>>(linker, State::enter),
);

type Reply = wasmtime::Result<Result<String, types::Error>>;

fn volume(state: &mut State, effect: &Effect) -> Reply {
    Ok(match state.apply(effect)? {
        Ok(Answer::Volume(volume)) => Ok(text(&volume)),
        Ok(_) => Ok("null".to_owned()),
        Err(error) => Err(to_wit(error)),
    })
}

impl Host for State {
    fn create(&mut self, properties: String) -> Reply {
        self.grant("volumes")?;
        match object(&properties, "the properties") {
            Ok(properties) => volume(self, &Effect::VolumeCreate(VolumeCreate { properties })),
            Err(error) => Ok(Err(error)),
        }
    }

    fn update(&mut self, id: String, changes: String) -> Reply {
        self.grant("volumes")?;
        match object(&changes, "the changes") {
            Ok(changes) => volume(self, &Effect::VolumeUpdate(VolumeUpdate { id, changes })),
            Err(error) => Ok(Err(error)),
        }
    }

    fn destroy(&mut self, id: String) -> wasmtime::Result<Result<(), types::Error>> {
        self.grant("volumes")?;
        Ok(volume(self, &Effect::VolumeDestroy(VolumeDestroy { id }))?.map(drop))
    }
}
