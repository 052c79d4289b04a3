use std::path::Path;

use cairn::error::Diagnostic;
use cairn::manifest::Limits;
use cairn::plan::{Descriptor, check_settings};
use cairn::plugin::{Import, Plugin as Component};
use cairn::value::{self, Digest, Object, Value};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::args::Format;
use crate::exit::Failure;
use crate::input;
use crate::output;
use crate::session::Session;

/// What stands before the name of a built-in plugin.
const BUILTIN: &str = "builtin:";

/// Look into plugins
#[derive(Debug, Subcommand)]
pub enum Plugin {
    /// Show what a component imports and exports, and what it says of itself
    Inspect(Inspect),
}

#[derive(Args, Debug)]
pub struct Inspect {
    /// A component's file, or builtin:NAME
    #[arg(value_name = "PLUGIN")]
    plugin: String,
    /// Settings, a JSON object: a plugin may describe itself by them
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = object)]
    settings: Object,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Inspected {
    source: String,
    sha256: Digest,
    size: usize,
    imports: Vec<Imported>,
    exports: Vec<String>,
    settings_schema: Value,
    /// What the plugin says of itself; null when the settings do not allow it.
    descriptor: Option<Descriptor>,
    /// Why there is no descriptor.
    not_described: Option<String>,
}

#[derive(Serialize)]
struct Imported {
    name: String,
    /// The grant that it needs; null for what every plugin has.
    grant: Option<&'static str>,
}

impl From<&Import> for Imported {
    fn from(import: &Import) -> Self {
        Self {
            name: import.name.clone(),
            grant: import.capability.map(|capability| capability.interface()),
        }
    }
}

impl Plugin {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        let Self::Inspect(inspect) = self;
        let inspected = inspect.inspect(session)?;
        if inspect.format.json {
            return output::json(&inspected);
        }
        output::print(&text(&inspected))
    }
}

impl Inspect {
    fn inspect(&self, session: &Session) -> Result<Inspected, Failure> {
        let bytes = read(&self.plugin)?;
        let failed = |error| {
            let mut failure = Failure::from(error);
            if !self.plugin.starts_with(BUILTIN) {
                failure.diagnostic = failure.diagnostic.at(Path::new(&self.plugin), None);
            }
            failure
        };
        let plugin = session.plugins()?.load(&bytes).map_err(failed)?;
        let limits = Limits::default();
        let schema = plugin.settings_schema(&limits).map_err(failed)?;
        let (descriptor, not_described) = match self.describe(&plugin, &schema, &limits) {
            Ok(descriptor) => (Some(descriptor), None),
            Err(reason) => (None, Some(reason)),
        };
        Ok(Inspected {
            source: self.plugin.clone(),
            sha256: plugin.digest(),
            size: plugin.bytes().len(),
            imports: plugin.imports().iter().map(Imported::from).collect(),
            exports: plugin.exports().to_vec(),
            settings_schema: schema,
            descriptor,
            not_described,
        })
    }

    fn describe(
        &self,
        plugin: &Component,
        schema: &Value,
        limits: &Limits,
    ) -> Result<Descriptor, String> {
        check_settings(&self.settings, schema).map_err(|error| error.to_string())?;
        plugin
            .describe(&self.settings, limits)
            .map_err(|error| error.to_string())
    }
}

fn read(plugin: &str) -> Result<Vec<u8>, Diagnostic> {
    let Some(name) = plugin.strip_prefix(BUILTIN) else {
        return input::bytes(Path::new(plugin), "the plugin");
    };
    cairn_bundle::component(name)
        .map(<[u8]>::to_vec)
        .ok_or_else(|| {
            let known: Vec<&str> = cairn_bundle::PLUGINS
                .iter()
                .map(|(name, _)| *name)
                .collect();
            Diagnostic::new(format!("there is no built-in plugin `{name}`"))
                .help(format!("the built-in plugins are {}", known.join(", ")))
        })
}

fn text(inspected: &Inspected) -> String {
    let mut text = format!(
        "{}  {} bytes\nsha256 {}\n",
        inspected.source, inspected.size, inspected.sha256
    );
    text.push_str("\nimports\n");
    for import in &inspected.imports {
        let grant = import
            .grant
            .map(|grant| format!("  needs the grant `{grant}`"))
            .unwrap_or_default();
        text += &format!("  {}{grant}\n", import.name);
    }
    text.push_str("\nexports\n");
    inspected
        .exports
        .iter()
        .for_each(|export| text += &format!("  {export}\n"));
    match (&inspected.descriptor, &inspected.not_described) {
        (Some(descriptor), _) => {
            let (major, minor) = descriptor.version;
            text += &format!("\ntask {} {major}.{minor}\n", descriptor.name);
            for (word, names) in [
                ("requires", &descriptor.requires),
                ("optional", &descriptor.optional),
                ("provides", &descriptor.provides),
            ] {
                text += &format!(
                    "  {word}  {}\n",
                    if names.is_empty() {
                        "-".to_owned()
                    } else {
                        names.join(", ")
                    }
                );
            }
        }
        (None, reason) => {
            let reason = reason.as_deref().unwrap_or("for no known reason");
            text += &format!("\nnot described: {reason}; give it settings with --settings\n");
        }
    }
    // A JSON value is always written.
    let schema = serde_json::to_string_pretty(&inspected.settings_schema).unwrap_or_default();
    text + &format!("\nsettings schema\n{schema}\n")
}

fn object(text: &str) -> Result<Object, String> {
    match value::parse(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("write a JSON object".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
