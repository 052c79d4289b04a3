use cairn::volumes::operator::{OperateVolumes as _, ReadVolumes as _};
use cairn::{StoreError, TaskError};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::args::{Format, Placement, Who, word};
use crate::exit::Failure;
use crate::output;
use crate::page::Page;
use crate::session::Session;

/// Manage the zones of volumes; while there are none, every zone is valid
#[derive(Debug, Subcommand)]
pub enum Zones {
    /// Add a zone; once there is one, only zones that were added are valid
    Create(Create),
    /// List the zones
    List(List),
    /// Show a zone
    Show(Show),
    /// Remove a zone, so that new volumes cannot be placed there
    Delete(Named),
}

#[derive(Args, Debug)]
pub struct Create {
    /// Name of the zone
    #[arg(value_parser = word)]
    name: String,
    #[command(flatten)]
    who: Who,
}

#[derive(Args, Debug)]
pub struct Named {
    /// Name of the zone
    name: String,
    #[command(flatten)]
    who: Who,
}

#[derive(Args, Debug)]
pub struct List {
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    page: Page,
    #[command(flatten)]
    placement: Placement,
}

#[derive(Args, Debug)]
pub struct Show {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    placement: Placement,
}

#[derive(Serialize)]
struct Zone {
    name: String,
    /// Whether volumes are placed here if their request names no zone.
    default: bool,
}

impl Zones {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Create(Create { name, who }) => {
                let requester = session.requester(&who)?;
                session.change(&requester, |admin| admin.create_zone(&name))
            }
            Self::Delete(Named { name, who }) => {
                let requester = session.requester(&who)?;
                session
                    .store()?
                    .admin(&requester, |admin| admin.delete_zone(&name))?;
                Ok(())
            }
            Self::List(list) => {
                let mut zones = zones(session, &list.who)?;
                let after = list.page.cursor().unwrap_or_default();
                zones.retain(|zone| zone.name.as_str() > after);
                let name = |zone: &Zone| zone.name.clone();
                list.page.show(session, zones, None, name, |zones| {
                    output::table(&["name", "default"], zones.iter().map(row))
                })
            }
            Self::Show(Show { named, format, .. }) => {
                let found = zones(session, &named.who)?
                    .into_iter()
                    .find(|zone| zone.name == named.name);
                let zone = found.ok_or_else(|| {
                    let message = format!("there is no zone `{}`", named.name);
                    StoreError::from(TaskError::new("NotFound", message))
                })?;
                if format.is_json() {
                    return output::document(format, &zone);
                }
                output::print(&output::table(&["name", "default"], [row(&zone)]))
            }
        }
    }
}

fn zones(session: &Session, who: &Who) -> Result<Vec<Zone>, Failure> {
    let requester = session.requester(who)?;
    let default = session
        .settings
        .zone
        .as_deref()
        .unwrap_or(cairn::volumes::DEFAULT_ZONE);
    let names = session.reader()?.view(&requester).zones()?;
    let zone = |name: String| Zone {
        default: name == default,
        name,
    };
    Ok(names.into_iter().map(zone).collect())
}

fn row(zone: &Zone) -> Vec<String> {
    vec![
        zone.name.clone(),
        if zone.default { "yes" } else { "no" }.to_owned(),
    ]
}
