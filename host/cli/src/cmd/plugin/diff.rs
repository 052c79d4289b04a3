//! `cairn plugin diff`.

use std::fmt::Write as _;
use std::path::Path;

use cairn::diff::{self, PluginChange, PluginVersion};
use cairn::manifest::Limits;
use cairn::plan::check_settings;
use cairn::plugin::Plugins;
use cairn::value::Digest;
use cairn::{Object, Value};
use clap::Args;
use serde::Serialize;

use super::{BUILTIN, object, read};
use crate::args::Format;
use crate::exit::{Exit, Failure};
use crate::output::{self, cell, count};
use crate::session::Session;

/// Compare two versions of a plugin, and show whether the new one must be reviewed
///
/// The users of a plugin must review a new version that needs more, or provides less, than the old one (that *widens*): it imports
/// another interface (except for a patch release of WASI), takes a new input, requires an input that was optional, no longer provides a
/// name or exports an interface, or may refuse settings that were valid, because a setting is required now, is no longer known, or has
/// a new or stricter rule. Exits with 6 for such a version, else with 0.
#[derive(Args, Debug)]
pub struct Diff {
    /// Current version: file of a component, or builtin:NAME
    #[arg(value_name = "OLD")]
    old: String,
    /// New version: file of a component, or builtin:NAME
    #[arg(value_name = "NEW")]
    new: String,
    /// Settings of both versions, a JSON object: a description may depend on them
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = object)]
    settings: Object,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Document<'d> {
    widens: bool,
    old: Side<'d>,
    new: Side<'d>,
    changes: &'d [PluginChange],
}

#[derive(Serialize)]
struct Side<'d> {
    source: &'d str,
    sha256: Digest,
    size: u64,
    /// Why there is no description, so that inputs and results are not compared.
    not_described: Option<&'d str>,
}

impl Diff {
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let plugins = session.plugins()?;
        let old = self.version(&plugins, &self.old)?;
        let new = self.version(&plugins, &self.new)?;
        let changes = diff::changes(&old, &new, &self.settings, plugins.kinds());
        let widening = changes.iter().filter(|change| change.widens.is_some());
        let widening = widening.count();
        if self.format.is_json() {
            output::document(
                self.format,
                &Document {
                    widens: widening > 0,
                    old: side(&self.old, &old),
                    new: side(&self.new, &new),
                    changes: &changes,
                },
            )?;
        } else {
            for (source, version) in [(&self.old, &old), (&self.new, &new)] {
                if let Err(reason) = &version.descriptor {
                    session.warn(&format!(
                        "{source} is not described, so inputs and results are not compared: {reason}; give it settings with --settings"
                    ));
                }
            }
            output::print(&text(&changes, widening))?;
        }
        Ok(if widening > 0 {
            Exit::Refused
        } else {
            Exit::Ok
        })
    }

    fn version(&self, plugins: &Plugins, source: &str) -> Result<PluginVersion, Failure> {
        let failed = |error| {
            let mut failure = Failure::from(error);
            // A plugin that cannot be loaded is bad usage, whatever the reason.
            failure.exit = Exit::Usage;
            if !source.starts_with(BUILTIN) {
                failure.diagnostic = failure.diagnostic.at(Path::new(source), None);
            }
            failure
        };
        let plugin = plugins.load(&read(source)?).map_err(failed)?;
        let limits = Limits::default();
        let settings_schema = plugin.settings_schema(&limits).map_err(failed)?;
        let described = check_settings(&self.settings, &settings_schema)
            .map_err(|error| error.to_string())
            .and_then(|()| {
                let described = plugin.describe(&self.settings, &limits);
                described.map_err(|error| error.to_string())
            });
        let imports = plugin.imports().iter();
        Ok(PluginVersion {
            digest: plugin.digest(),
            size: plugin.bytes().len() as u64,
            imports: imports.map(|import| import.name.clone()).collect(),
            exports: plugin.exports().iter().cloned().collect(),
            settings_schema,
            descriptor: described,
        })
    }
}

fn side<'d>(source: &'d str, version: &'d PluginVersion) -> Side<'d> {
    Side {
        source,
        sha256: version.digest,
        size: version.size,
        not_described: version.descriptor.as_ref().err().map(String::as_str),
    }
}

fn text(changes: &[PluginChange], widening: usize) -> String {
    if changes.is_empty() {
        return "both are the same component\n".to_owned();
    }
    let rows = changes.iter().map(|change| {
        let what = match (&change.old, &change.new) {
            (Value::Null, new) => format!("+ {}", cell(new)),
            (old, Value::Null) => format!("- {}", cell(old)),
            (old, new) => format!("{} -> {}", cell(old), cell(new)),
        };
        let path = change.path.clone().unwrap_or_default();
        let widens = change.widens.clone().unwrap_or_default();
        vec![change.part.as_str().to_owned(), path, what, widens]
    });
    let mut text = output::table(&["part", "at", "change", "widens"], rows);
    // Writing to a string cannot fail.
    let _ = match widening {
        0 => writeln!(text, "\nit does not widen"),
        _ => writeln!(text, "\nit widens: {}", count(widening, "change")),
    };
    text
}
