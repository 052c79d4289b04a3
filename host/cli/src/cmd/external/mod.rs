mod change;
mod scan;

use std::path::PathBuf;

use cairn::external::{ExternalKey, NoExternalKey, is_name, state};
use cairn::externals::{self, HandleError};
use cairn::flow::Provider;
use cairn::host::Planner;
use cairn::store::view::{ExternalListing, StandingExternal, View};
use cairn::{Diagnostic, Manifest, Object, StoreError};
use clap::{Args, Subcommand, ValueEnum};

use crate::args::{Format, Who, name};
use crate::exit::{Exit, Failure};
use crate::input;
use crate::output;
use crate::page::Page;
use crate::session::Session;

/// See, compare, adopt and remove objects outside the database
#[derive(Debug, Subcommand)]
pub enum External {
    /// List the objects that have a row
    List(List),
    /// Ask a provider what there is of an object
    Look(Look),
    Scan(scan::Scan),
    Adopt(change::Adopt),
    Remove(change::Remove),
}

/// The state of an object's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    /// Its provider is asked to make it, or is about to be
    Making,
    /// It was made
    Made,
    /// Its provider is asked to remove it, or is about to be
    Removing,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Making => state::MAKING,
            Self::Made => state::MADE,
            Self::Removing => state::REMOVING,
        }
    }
}

#[derive(Args, Debug)]
pub struct List {
    /// Only objects of this provider
    #[arg(long, value_name = "NAME", value_parser = name)]
    provider: Option<String>,
    /// Only objects of this kind
    #[arg(long, value_name = "KIND", value_parser = name)]
    kind: Option<String>,
    /// Only those in this state; may be repeated
    #[arg(long = "state", value_enum, value_name = "STATE")]
    states: Vec<State>,
    /// List the objects of every project; needs --admin
    #[arg(long)]
    all_projects: bool,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    page: Page,
}

/// The kind of objects of a provider.
#[derive(Args, Debug)]
struct Place {
    /// Provider, as named in the manifests
    #[arg(value_parser = name)]
    provider: String,
    /// Kind of the objects
    #[arg(value_parser = name)]
    kind: String,
    /// Manifest whose provider is asked [default: the provider of stored plans, that of the object's flow first]
    #[arg(long, value_name = "FLOW")]
    manifest: Option<PathBuf>,
}

/// An object.
#[derive(Args, Debug)]
struct Which {
    #[command(flatten)]
    place: Place,
    /// Name of the object: a UUID
    #[arg(value_parser = id)]
    id: String,
}

#[derive(Args, Debug)]
pub struct Look {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    format: Format,
}

impl External {
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let done = match self {
            Self::Scan(scan) => return scan.run(session),
            Self::List(list) => list.run(session),
            Self::Look(look) => look.run(session),
            Self::Adopt(adopt) => adopt.run(session),
            Self::Remove(remove) => remove.run(session),
        };
        done.map(|()| Exit::Ok)
    }
}

impl List {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let requester = session.requester(&self.who)?;
        let states: Vec<&str> = self.states.iter().map(|state| state.as_str()).collect();
        let after = self.page.cursor().map(cursor_key).transpose()?;
        let after = after.as_ref();
        let listing = ExternalListing {
            all_projects: self.all_projects,
            provider: self.provider.as_deref(),
            kind: self.kind.as_deref(),
            states: &states,
            after,
            limit: self.page.to_read(None),
        };
        let reader = session.reader()?;
        let rows = reader.view(&requester).externals(listing);
        let rows = rows.map_err(admins_only)?;
        let mut columns = vec!["provider", "kind", "id", "state", "flow", "task"];
        if self.all_projects {
            columns.insert(0, "project_id");
        }
        let table = |rows: &[Object]| output::columns(&columns, rows);
        self.page.show(session, rows, None, cursor, table)
    }
}

/// Returns the cursor after a row: `PROVIDER/KIND/ID`.
fn cursor(row: &Object) -> String {
    ExternalKey::of_row(row).to_string()
}

/// Parses a [`cursor`].
fn cursor_key(text: &str) -> Result<ExternalKey, Diagnostic> {
    text.parse().map_err(|wrong: NoExternalKey| {
        Diagnostic::new(format!("`{text}` is not a cursor of a list of objects"))
            .help(format!("{wrong}, as the end of the previous page says"))
    })
}

impl Look {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let requester = session.requester(&self.who)?;
        let reader = session.reader()?;
        let view = reader.view(&requester);
        let key = self.which.key();
        let row = externals::row_of(&view, &key).map_err(admins_only)?;
        let provider = self.which.provider(session, &view)?;
        let found = externals::look(&provider, &key).map_err(failed)?;
        let document = externals::document(&key, &found, row.as_ref());
        output::value(&document, self.format)
    }
}

impl Place {
    /// Returns the provider. `row` is that of the object which it is asked about.
    fn provider(
        &self,
        session: &Session,
        view: &View<'_>,
        row: Option<&StandingExternal>,
    ) -> Result<Provider, Failure> {
        let planner = session.planner()?.policy(session.policy()?);
        match &self.manifest {
            Some(path) => of_manifest(session, &planner, path, &self.provider),
            None => {
                let secrets = session.secrets();
                Ok(planner.stored_provider(view, &self.provider, row, secrets)?)
            }
        }
    }
}

impl Which {
    fn key(&self) -> ExternalKey {
        ExternalKey::new(&self.place.provider, &self.place.kind, &self.id)
    }

    /// Returns the provider that is asked about the object.
    fn provider(&self, session: &Session, view: &View<'_>) -> Result<Provider, Failure> {
        let row = view.standing_external(&self.key())?;
        self.place.provider(session, view, row.as_ref())
    }
}

/// Returns the provider of a manifest.
fn of_manifest(
    session: &Session,
    planner: &Planner,
    path: &std::path::Path,
    provider: &str,
) -> Result<Provider, Failure> {
    let text = input::text(path, "the manifest")?;
    let manifest = Manifest::parse(&text, path, &session.settings.kinds)?;
    let plan = session.plan(planner, &manifest, false)?;
    Ok(planner.planned_provider(&plan, provider, session.secrets())?)
}

/// Accepts the name of an object, as the host writes it.
fn id(text: &str) -> Result<String, String> {
    match is_name(text) {
        true => Ok(text.to_owned()),
        false => Err("the name of an object is a UUID in lower case".to_owned()),
    }
}

/// Tells why an operator's request about an object was not carried out.
fn failed(error: HandleError) -> Failure {
    let exit = match &error {
        HandleError::Unknown { .. } => Exit::Host,
        _ => Exit::Refused,
    };
    let help = match &error {
        HandleError::Absent(_) => Some("`cairn external scan` lists objects without a row"),
        HandleError::StillThere(_) => {
            Some("`cairn external look` shows the object; repeat the removal")
        }
        other => other.help(),
    };
    let diagnostic = Diagnostic::new(error.to_string());
    match error {
        HandleError::Store(error) => admins_only(error),
        _ => Failure {
            exit,
            diagnostic: match help {
                Some(help) => diagnostic.help(help),
                None => diagnostic,
            },
        },
    }
}

/// Adds help to the refusal of a requester who is no admin.
fn admins_only(error: StoreError) -> Failure {
    let is_for_admins = matches!(&error, StoreError::Refused(refused)
        if matches!(refused.kind.as_str(), "NotAuthorized" | "AdminRequired"));
    let mut failure = Failure::from(error);
    if is_for_admins {
        failure.diagnostic = failure.diagnostic.help("add --admin");
    }
    failure
}
