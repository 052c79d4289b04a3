use cairn_model::value::text;

use super::State;
use crate::wit::cairn::plugin::context::{Host, Identity};

impl Host for State {
    fn requester(&mut self) -> wasmtime::Result<Identity> {
        let caller = self.active()?.context.requester();
        Ok(Identity {
            request_id: caller.request_id.clone(),
            user_id: caller.user_id.clone(),
            project_id: caller.project_id.clone(),
            roles: caller.roles.clone(),
            is_admin: caller.is_admin,
            quota_class: caller.quota_class.clone(),
        })
    }

    fn settings(&mut self) -> wasmtime::Result<String> {
        Ok(self.active()?.granted.settings.clone())
    }

    fn quota_committed(&mut self) -> wasmtime::Result<bool> {
        Ok(self.active()?.context.fact("quota-committed"))
    }

    fn checkpoint(&mut self) -> wasmtime::Result<()> {
        let result = self.active()?.context.checkpoint();
        self.pass(result)?.map_err(wasmtime::Error::from)
    }

    fn request(&mut self) -> wasmtime::Result<Option<String>> {
        let active = self.active()?;
        Ok(active
            .granted
            .sees_request
            .then(|| text(active.context.request())))
    }
}
