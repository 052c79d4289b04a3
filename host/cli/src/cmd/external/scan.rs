use cairn::externals::{self, Bounds, Compared, ScanError};
use cairn::{Diagnostic, Value};
use clap::Args;

use super::{Place, admins_only};
use crate::args::{Format, Who};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::session::Session;

/// Compare the objects that a provider lists with their rows; exit 6 if one differs
///
/// An object without a row is an `orphan`, a row whose object is not there is `lost`. An object that is being made or removed is neither,
/// so flows may run meanwhile. The command only reads; `cairn external adopt` and `cairn external remove` deal with orphans. It reads at
/// most 1,000,000 ids of the list, and ends after 1,000 differences.
#[derive(Args, Debug)]
pub struct Scan {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    format: Format,
}

impl Scan {
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let requester = session.requester(&self.who)?;
        let reader = session.reader()?;
        let view = reader.view(&requester);
        view.require_admin("objects of all projects are compared for admins only")
            .map_err(admins_only)?;
        let provider = self.place.provider(session, &view, None)?;
        let place = (&*self.place.provider, &*self.place.kind);
        let bounds = Bounds::default();
        let compared = externals::scan(&view, &provider, place, bounds);
        let compared = compared.map_err(|error| match error {
            ScanError::Store(error) => error.into(),
            other => Failure {
                exit: Exit::Host,
                diagnostic: Diagnostic::new(other.to_string())
                    .help("nothing can be said about the objects of this provider"),
            },
        })?;
        if self.format.is_json() {
            output::document(self.format, &self.document(&compared))?;
        } else {
            output::print(&text(&compared))?;
        }
        if compared.is_cut {
            session.warn(&format!(
                "there are more than {} differences; the others were not looked for",
                bounds.differences
            ));
        }
        Ok(match compared.differences.is_empty() {
            true => Exit::Ok,
            false => Exit::Refused,
        })
    }

    fn document(&self, compared: &Compared) -> Value {
        compared.document(&self.place.provider, &self.place.kind)
    }
}

fn text(compared: &Compared) -> String {
    if compared.differences.is_empty() {
        let objects = output::count(compared.listed, "object");
        return format!("no difference was found; the provider lists {objects}\n");
    }
    let rows = compared.differences.iter().map(|difference| {
        let row = difference.row.as_ref();
        let dash = || "-".to_owned();
        vec![
            difference.found.as_str().to_owned(),
            difference.id.clone(),
            difference.presence_word().to_owned(),
            row.map_or_else(dash, |row| row.project_id.clone()),
            row.and_then(|row| row.flow)
                .map_or_else(dash, |flow| flow.to_string()),
        ]
    });
    output::table(&["difference", "id", "found", "project", "flow"], rows)
}
