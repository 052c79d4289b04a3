mod drift;
mod expire;

use std::collections::BTreeMap;

use cairn::Identity;
use cairn::volumes::operator::{OperateVolumes as _, Quota as Entry, ReadVolumes as _};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::args::{Format, QuotaClass, Who, word};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::session::Session;

/// Show, set, check and repair the quotas of projects
#[derive(Debug, Subcommand)]
pub enum Quota {
    /// Show a project's limits and usages, or the limits of a class
    Show(Show),
    /// Set limits of a project, or of a class
    Set(Set),
    /// Remove limits of a project, or of a class; the limits behind them apply then
    Unset(Unset),
    Check(drift::Check),
    Sync(drift::Sync),
    Expire(expire::Expire),
}

#[derive(Args, Debug)]
pub struct Show {
    /// Show the limits of this quota class; `default` is that of projects without their own
    #[arg(long, value_name = "CLASS", value_parser = word)]
    class: Option<String>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    quota_class: QuotaClass,
}

#[derive(Args, Debug)]
pub struct Set {
    /// Limit to set; RESOURCE is volumes, snapshots or gigabytes, or one of them of a type, such as gigabytes_gold; -1 is unlimited
    #[arg(value_name = "RESOURCE=LIMIT", required = true, value_parser = limit)]
    limits: Vec<(String, i64)>,
    /// Set the limits of this quota class; `default` is that of projects without their own
    #[arg(long, value_name = "CLASS", value_parser = word)]
    class: Option<String>,
    #[command(flatten)]
    who: Who,
}

#[derive(Args, Debug)]
pub struct Unset {
    /// Limit to remove, as `cairn quota set` names it
    #[arg(value_name = "RESOURCE", required = true)]
    resources: Vec<String>,
    /// Remove the limits of this quota class
    #[arg(long, value_name = "CLASS", value_parser = word)]
    class: Option<String>,
    #[command(flatten)]
    who: Who,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Whose<'a> {
    Project(&'a str),
    Class(&'a str),
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    whose: Whose<'a>,
    quotas: BTreeMap<String, Entry>,
}

impl Quota {
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let done = match self {
            Self::Check(check) => return check.run(session),
            Self::Show(show) => show.run(session),
            Self::Set(set) => set.run(session),
            Self::Unset(unset) => unset.run(session),
            Self::Sync(sync) => sync.run(session),
            Self::Expire(expire) => expire.run(session),
        };
        done.map(|()| Exit::Ok)
    }
}

impl Show {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let requester = session.requester(&self.who)?;
        let reader = session.reader()?;
        let document = match &self.class {
            None => Document {
                whose: Whose::Project(&requester.project_id),
                quotas: reader.view(&requester).project_quotas(
                    &requester.project_id,
                    None,
                    true,
                    true,
                )?,
            },
            Some(class) => {
                // The class's limits are shown to its members and to admins.
                let member = Identity {
                    quota_class: Some(class.clone()),
                    ..requester.clone()
                };
                let limits = reader.view(&member).class_quotas(class, true)?;
                let entry = |(name, limit)| (name, Entry { limit, usage: None });
                Document {
                    whose: Whose::Class(class),
                    quotas: limits.into_iter().map(entry).collect(),
                }
            }
        };
        if self.format.is_json() {
            return output::document(self.format, &document);
        }
        output::print(&text(&document))
    }
}

impl Set {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let requester = session.requester(&self.who)?;
        session.change(&requester, |admin| {
            self.limits
                .iter()
                .try_for_each(|(resource, limit)| match &self.class {
                    Some(class) => admin.set_class_limit(class, resource, Some(*limit)),
                    None => admin.set_project_limit(&requester.project_id, resource, Some(*limit)),
                })
        })?;
        Ok(())
    }
}

impl Unset {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let requester = session.requester(&self.who)?;
        session.store()?.admin(&requester, |admin| {
            let mut resources = self.resources.iter();
            resources.try_for_each(|resource| match &self.class {
                Some(class) => admin.unset_class_limit(class, resource),
                None => admin.unset_project_limit(&requester.project_id, resource),
            })
        })?;
        Ok(())
    }
}

fn text(document: &Document<'_>) -> String {
    let limit = |entry: &Entry| match entry.limit {
        Some(limit) if limit >= 0 => limit.to_string(),
        _ => "unlimited".to_owned(),
    };
    let quotas = document.quotas.iter();
    match document.whose {
        Whose::Class(_) => output::table(
            &["resource", "limit"],
            quotas.map(|(name, entry)| vec![name.clone(), limit(entry)]),
        ),
        Whose::Project(_) => {
            let rows = quotas.map(|(name, entry)| {
                let usage = entry.usage.unwrap_or_default();
                vec![
                    name.clone(),
                    limit(entry),
                    usage.in_use.to_string(),
                    usage.reserved.to_string(),
                ]
            });
            output::table(&["resource", "limit", "in use", "reserved"], rows)
        }
    }
}

/// Splits `RESOURCE=LIMIT`. Names of types may contain `=`, limits do not.
fn limit(text: &str) -> Result<(String, i64), String> {
    let (resource, limit) = match text.rsplit_once('=') {
        None | Some(("", _)) => return Err("write RESOURCE=LIMIT".to_owned()),
        Some(split) => split,
    };
    match limit.parse() {
        Ok(limit) if limit >= -1 => Ok((resource.to_owned(), limit)),
        Ok(_) | Err(_) => Err(format!(
            "`{limit}` is not a limit: write a whole number, or -1 for unlimited"
        )),
    }
}
