//! `cairn flow undeploy`.

use cairn::StoreError;
use cairn::store::deployments::DeploymentName;
use clap::Args;
use serde::Serialize;

use crate::args::Format;
use crate::exit::Failure;
use crate::output;
use crate::session::Session;

/// Undeploy a flow, or one version of it: no more flows are begun from it, and those that were begun go on
///
/// Without the newest version, clients that name no version get the newest of those that are left. A version is never used twice.
#[derive(Args, Debug)]
pub struct Undeploy {
    /// The flow: all its versions, or NAME@VERSION
    #[arg(value_name = "NAME")]
    flow: DeploymentName,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Document<'d> {
    name: &'d str,
    /// The versions that were undeployed.
    undeployed: &'d [i64],
    /// The version that clients get who name none; null if they get none.
    version: Option<i64>,
}

impl Undeploy {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        let name = &self.flow.name;
        let (undeployed, version) = session.store()?.admin(&session.operator(), |admin| {
            let undeployed = admin.undeploy(&self.flow)?;
            let left = admin.view().deployment(name, None)?;
            Ok::<_, StoreError>((undeployed, left.map(|left| left.version)))
        })?;
        if self.format.is_json() {
            return output::document(
                self.format,
                &Document {
                    name,
                    undeployed: &undeployed,
                    version,
                },
            );
        }
        let lines = undeployed
            .iter()
            .map(|version| format!("undeployed {name}@{version}\n"));
        let mut text: String = lines.collect();
        text += &match version {
            Some(version) => format!("the newest version is now {name}@{version}\n"),
            None => format!("no version of {name} is deployed any more\n"),
        };
        output::print(&text)
    }
}
