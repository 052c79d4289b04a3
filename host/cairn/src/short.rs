use std::path::Path;
use std::sync::Arc;

use cairn_effects::report::Report;
use cairn_engine::host::{Host, HostError, Recovered};
use cairn_manifest::manifest::{GrantKinds, Manifest};
use cairn_model::id::FlowId;

use crate::operator;
use crate::planned::PlannedFlow;

/// The engine on one database. Cheap to copy; threads may share it.
///
/// [`Cairn::open`] takes what comes with this crate; [`Cairn::builder`] takes everything else. When the last copy is dropped, flows that
/// run are finished first, and requests that wait are not started.
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

    /// Plans the flow of a manifest: loads each plugin, asks it what it is, and wires the tasks. No task runs.
    ///
    /// # Errors
    /// [`HostError::Invalid`] with the first thing that is wrong, its place in the manifest, and the fix; [`HostError::Store`] when the
    /// plan cannot be kept.
    pub fn flow(&self, manifest: impl AsRef<Path>) -> Result<PlannedFlow, HostError> {
        let file = manifest.as_ref();
        self.flow_of(&operator::text(file, "the manifest")?, file)
    }

    /// Plans the flow of a manifest that is text in memory. `file` names it in messages, and the paths in it start at its folder.
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

    /// Takes up the flows that dead processes left behind: see [`Host::recover`]. Those that were set aside before are left out. Call it
    /// once, after the program has started.
    ///
    /// # Errors
    /// [`HostError::Store`] when the database fails; what was not recovered still can be.
    pub fn recover(&self) -> Result<Vec<Recovered>, HostError> {
        self.host.recover(false)
    }

    /// Reads the report of a flow from the database, in whichever state it is.
    ///
    /// # Errors
    /// [`HostError::Store`], when there is no such flow or its journal is damaged.
    pub fn report(&self, flow: FlowId) -> Result<Report, HostError> {
        self.host.report(flow)
    }

    /// Returns the host, which does the rest: operate on flows, listen to them, read and change the database as an operator, stop.
    pub fn host(&self) -> &Host {
        &self.host
    }
}

impl std::fmt::Debug for Cairn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cairn").finish_non_exhaustive()
    }
}
