//! The deployed flows, as requests name them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn::host::ReadyPlan;
use cairn::store::deployments::{Deployment, DeploymentName, NoDeploymentName};
use cairn::{Host, Identity};
use parking_lot::Mutex;

use crate::error::ApiError;
use crate::readers::{Readers, blocking};

/// How long a version is known to be the newest one: a deployment is taken up after this time at the latest.
const FRESH: Duration = Duration::from_millis(100);

/// How many names are remembered.
const MOST: usize = 10_000;

/// A deployed flow, with its tasks.
#[derive(Clone)]
pub(crate) struct DeployedFlow {
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) plan: Arc<ReadyPlan>,
}

/// Looks deployed flows up, and remembers them for a moment.
#[derive(Default)]
pub(crate) struct Deployed {
    known: Mutex<HashMap<String, (Instant, DeployedFlow)>>,
}

impl Deployed {
    /// Returns the deployed flow that `NAME` or `NAME@VERSION` names.
    ///
    /// # Errors
    /// `UnknownFlow` when it is not deployed; those of the database.
    pub(crate) async fn find(
        &self,
        host: &Arc<Host>,
        readers: &Readers,
        named: &str,
    ) -> Result<DeployedFlow, ApiError> {
        if let Some((at, flow)) = self.known.lock().get(named)
            && at.elapsed() < FRESH
        {
            return Ok(flow.clone());
        }
        let asked: DeploymentName = (named.parse()).map_err(|wrong: NoDeploymentName| {
            ApiError::bad("InvalidInput", format!("`flow` names no flow: {wrong}"))
        })?;
        let read = readers.read(Identity::default(), move |view| {
            Ok(view.deployment(&asked.name, asked.version)?)
        });
        let Some(deployment) = read.await? else {
            self.known.lock().remove(named);
            return Err(
                ApiError::not_found(format!("no flow `{named}` is deployed"))
                    .help("an operator deploys one with `cairn flow deploy`"),
            );
        };
        let known = self.known.lock().get(named).map(|(_, flow)| flow.clone());
        let flow = match known.filter(|flow| flow.deployment.plan == deployment.plan) {
            Some(flow) => DeployedFlow {
                deployment: Arc::new(deployment),
                plan: flow.plan,
            },
            None => {
                let host = Arc::clone(host);
                let plan = deployment.plan;
                DeployedFlow {
                    deployment: Arc::new(deployment),
                    plan: blocking(move || Ok(host.stored(plan)?)).await?,
                }
            }
        };
        let mut known = self.known.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(named.to_owned(), (Instant::now(), flow.clone()));
        Ok(flow)
    }
}
