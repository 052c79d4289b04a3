use std::path::Path;
use std::sync::Arc;

use cairn_effects::report::Report;
use cairn_engine::host::{Host, HostError, Recovered};
use cairn_manifest::manifest::{GrantKinds, Manifest};
use cairn_model::id::FlowId;

use crate::operator;
use crate::planned::PlannedFlow;

/// The engine on one database. Cheap to clone; threads may share it.
///
/// [`Cairn::open`] uses the defaults; [`Cairn::builder`] configures them. Dropping the last clone waits until running flows have ended;
/// queued requests are not started.
#[derive(Clone)]
pub struct Cairn {
    host: Arc<Host>,
    kinds: GrantKinds,
}

impl Cairn {
    pub(crate) fn new(host: Host, kinds: GrantKinds) -> Self {
        Self {
            host: Arc::new(host),
            kinds,
        }
    }

    /// Plans the flow of a manifest: loads each plugin, reads its description, and wires the tasks. No task runs.
    ///
    /// # Errors
    /// [`HostError::Invalid`] with the first mistake, its place in the manifest, and the fix; [`HostError::Store`] when the plan cannot
    /// be stored.
    pub fn flow(&self, manifest: impl AsRef<Path>) -> Result<PlannedFlow, HostError> {
        let file = manifest.as_ref();
        self.flow_of(&operator::text(file, "the manifest")?, file)
    }

    /// Plans the flow of a manifest given as text. Messages name it `file`, and relative paths in it start at that file's folder.
    ///
    /// # Errors
    /// As [`flow`](Self::flow).
    pub fn flow_of(
        &self,
        manifest: &str,
        file: impl AsRef<Path>,
    ) -> Result<PlannedFlow, HostError> {
        let file = file.as_ref();
        let manifest = Manifest::parse(manifest, file, &self.kinds)?;
        let plan = self.host.plan(&manifest)?;
        PlannedFlow::new(Arc::clone(&self.host), plan, file.to_owned())
    }

    /// Recovers the flows of dead processes: see [`Host::recover`]. Skips flows that are stuck already. Call it once, after the
    /// program has started.
    ///
    /// # Errors
    /// [`HostError::Store`] when the database fails; the remaining flows can be recovered later.
    pub fn recover(&self) -> Result<Vec<Recovered>, HostError> {
        self.host.recover(false)
    }

    /// Reads the report of a flow, in any state, from the database.
    ///
    /// # Errors
    /// [`HostError::Store`] when the flow does not exist or its journal is damaged.
    pub fn report(&self, flow: FlowId) -> Result<Report, HostError> {
        self.host.report(flow)
    }

    /// Returns the host, which operates on flows, registers listeners, reads and changes the database for operators, and stops.
    pub fn host(&self) -> &Host {
        &self.host
    }
}

impl std::fmt::Debug for Cairn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cairn").finish_non_exhaustive()
    }
}
