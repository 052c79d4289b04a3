//! `cairn plugin test`.

use std::path::{Path, PathBuf};

use cairn::Diagnostic;
use cairn_laws::{Law, Subject};
use clap::Args;

use super::BUILTIN;
use crate::args::{Format, Placement};
use crate::cases::{self, CaseFile};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::session::Session;

/// Run a plugin's test cases, and check the laws of its kind; exit 0 if all hold, 3 if not
///
/// Cases are read from `cases/*.toml` beside the component. A case of a task runs on a database
/// of its own, in the state that the case describes:
///
///   [[case]]
///   name   = "a volume of 10 GiB"
///   inputs = { size = 10 }
///   state  = { volumes = [{ id = "v1", size = 1 }], quotas = { gigabytes = 20 } }
///   keep   = ["volumes/v1.status"]          # changes that a revert keeps on purpose
///   expect = { result = { size = 10 } }     # or { error = "KIND" }
///
/// A case of a policy is a question and the expected answer:
///
///   [[case]]
///   name      = "a large volume needs a role"
///   settings  = { most = 100 }
///   requester = { roles = ["member"] }
///   action    = "volume:create"
///   target    = { size = 101 }
///   expect    = { deny = "needs the role" } # part of the reason; or "allow", { error = "KIND" }
///
/// A case of a validator:
///
///   [[case]]
///   name     = "a volume of nothing"
///   settings = { most = 100 }
///   inputs   = { size = 0 }
///   expect   = { violations = [{ pointer = "/size", kind = "InvalidInput", message = "least" }] }
///
/// A case of an external is an object that it makes at its backend, which must be there:
///
///   [[case]]
///   name     = "a record"
///   settings = { zone = "example." }
///   grants   = { http = { allow = ["http://127.0.0.1:8081/*"] } }
///   kind     = "record"
///   spec     = { name = "db" }
///   expect   = { result = { fqdn = "db.example." } } # or { error = "KIND" }, if it refuses
///
/// Without `expect`, a task must succeed, a policy must allow, a validator must find nothing, and an
/// external must make the object.
/// The SDK's page `cairn_plugin::tutorial` has every key. The laws of tasks:
///
///   revert         a call and its revert leave everything as it was, except for what `keep` names
///   twice          a revert that runs twice leaves the same as one that runs once
///   failure        a call that fails at any of its host calls, and is reverted, leaves nothing
///   cut-off        a call that exceeds its deadline after any of its host calls leaves nothing
///   interrupted    a call whose host dies after any of its host calls leaves nothing
///   same-requests  the same inputs cause the same host calls
///
/// For a broken law, the shortest sequence of host calls that breaks it is shown. The law of
/// policies and validators:
///
///   same-answer    the same question gets the same answer, at any time and with any random
///                  numbers, and from a validator for any caller
///
/// The laws of externals make and remove objects like that of the case, with names of their own,
/// and let requests over HTTP fail; so use a backend that may lose what it holds:
///
///   object-name    an object is found by its kind and id alone, at any time
///   looks          `look` and `list` change nothing
///   once           `make` or `remove` twice has the effect of once
///   cut-acts       after an act that was cut off at any of its requests `look` says what is there,
///                  and `remove` leaves nothing
///   refused        after `refused`, also because a request failed, `look` answers as before
///   listed         `list` names every object that was made, and no other
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Test {
    /// Folder of a plugin, with its component and `cases`; file of a component; or builtin:NAME
    #[arg(value_name = "PLUGIN", default_value = ".")]
    plugin: String,
    /// File of cases, or folder of such files [default: `cases` beside the component]
    #[arg(long, value_name = "PATH")]
    cases: Option<PathBuf>,
    /// Also check the laws, not only what the cases expect
    #[arg(long)]
    laws: bool,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    placement: Placement,
}

impl Test {
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let found = self.find()?;
        let roles = super::load(session, &found.plugin)?.roles();
        let cases = cases::parse(&found.files, &roles)?;
        let subject = match found.plugin.strip_prefix(BUILTIN) {
            Some(name) => Subject::builtin(name),
            None => Subject::file(&found.plugin),
        };
        let laws = if self.laws { &Law::ALL[..] } else { &[] };
        let tested = cases::run(session, &subject, &cases, laws)?;
        if self.format.is_json() {
            output::document(self.format, &tested)?;
        } else {
            output::print(&cases::text(&tested))?;
        }
        Ok(match tested.is_ok() {
            true => Exit::Ok,
            false => Exit::Failed,
        })
    }

    /// Finds the plugin, and the files of its cases.
    fn find(&self) -> Result<Found, Diagnostic> {
        if let Some(name) = self.plugin.strip_prefix(BUILTIN) {
            super::read(&self.plugin)?;
            let files = match (&self.cases, cairn_bundle::cases(name)) {
                (None, Some(text)) => vec![(PathBuf::from(&self.plugin), text.to_owned())],
                (path, _) => cases::files(path.as_deref().unwrap_or(Path::new("cases")))?,
            };
            let plugin = self.plugin.clone();
            return Ok(Found { plugin, files });
        }
        let given = Path::new(&self.plugin);
        let component = if given.is_dir() {
            component_in(given)?
        } else {
            given.to_owned()
        };
        let beside = cases::beside(&component);
        let files = cases::files(self.cases.as_deref().unwrap_or(&beside))?;
        let plugin = component.to_string_lossy().into_owned();
        Ok(Found { plugin, files })
    }
}

/// A plugin, and the files of its cases.
struct Found {
    plugin: String,
    files: Vec<CaseFile>,
}

/// Finds the only component in a folder.
fn component_in(folder: &Path) -> Result<PathBuf, Diagnostic> {
    let mut found = cases::files_in(folder, "wasm")?;
    match (found.pop(), found.pop()) {
        (Some(component), None) => Ok(component),
        (None, _) => Err(
            Diagnostic::new("there is no component (*.wasm) in this folder")
                .at(folder, None)
                .help("run `cairn plugin build`, or name the component's file"),
        ),
        (Some(_), Some(_)) => Err(
            Diagnostic::new("there are several components in this folder")
                .at(folder, None)
                .help("name the file of one of them"),
        ),
    }
}
