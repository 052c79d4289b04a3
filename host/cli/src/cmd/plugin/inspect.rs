//! `cairn plugin inspect`.

use cairn::manifest::Limits;
use cairn::plan::{Descriptor, Role, check_settings};
use cairn::plugin::{Import, Plugin as Component};
use cairn::value::Digest;
use cairn::{Object, Value};
use clap::Args;
use serde::Serialize;

use super::{failed, load, object};
use crate::args::Format;
use crate::exit::Failure;
use crate::output::{self, printable};
use crate::session::Session;

/// Show a component's imports, exports, description and settings schema
#[derive(Args, Debug)]
pub struct Inspect {
    /// File of a component, or builtin:NAME
    #[arg(value_name = "PLUGIN")]
    plugin: String,
    /// Settings, a JSON object: the description may depend on them
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
    /// The roles that it can have: `task`, `policy`, `validator`.
    roles: Vec<&'static str>,
    settings_schema: Value,
    /// The plugin's description; null if there is none with these settings.
    descriptor: Option<Descriptor>,
    /// Why there is no descriptor.
    not_described: Option<String>,
}

#[derive(Serialize)]
struct Imported {
    name: String,
    /// The grant that it needs; null if every plugin has the interface.
    grant: Option<String>,
}

impl From<&Import> for Imported {
    fn from(import: &Import) -> Self {
        Self {
            name: import.name.clone(),
            grant: import.capability.clone(),
        }
    }
}

impl Inspect {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        let inspected = self.inspect(session)?;
        if self.format.is_json() {
            return output::document(self.format, &inspected);
        }
        output::print(&text(&inspected))
    }

    fn inspect(&self, session: &Session) -> Result<Inspected, Failure> {
        let plugin = load(session, &self.plugin)?;
        let limits = Limits::default();
        let schema = plugin
            .settings_schema(&limits)
            .map_err(|error| failed(&self.plugin, error))?;
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
            roles: plugin.roles().into_iter().map(Role::noun).collect(),
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

fn text(inspected: &Inspected) -> String {
    let mut text = format!(
        "{}  {} bytes\nsha256 {}\n",
        printable(&inspected.source),
        inspected.size,
        inspected.sha256
    );
    text.push_str("\nimports\n");
    for import in &inspected.imports {
        let grant = import
            .grant
            .as_ref()
            .map(|grant| format!("  needs the grant `{grant}`"))
            .unwrap_or_default();
        text += &format!("  {}{grant}\n", printable(&import.name));
    }
    text.push_str("\nexports\n");
    inspected
        .exports
        .iter()
        .for_each(|export| text += &format!("  {}\n", printable(export)));
    let roles = inspected.roles.join(" and ");
    match (&inspected.descriptor, &inspected.not_described) {
        (Some(descriptor), _) => {
            let (major, minor) = descriptor.version;
            let name = printable(&descriptor.name);
            text += &format!("\n{roles} {name} {major}.{minor}\n");
            // Policies and validators take no part in the wiring.
            if inspected.roles.contains(&Role::Task.noun()) {
                text += &wiring(descriptor);
            }
        }
        (None, reason) => {
            let reason = reason.as_deref().unwrap_or("for no known reason");
            text += &format!(
                "\n{roles}, not described: {}; give it settings with --settings\n",
                printable(reason)
            );
        }
    }
    // A JSON value can always be serialized.
    let schema = output::json_text(&inspected.settings_schema).unwrap_or_default();
    text + &format!("\nsettings schema\n{schema}\n")
}

/// Formats the names that a task takes from other tasks, and provides to them.
fn wiring(descriptor: &Descriptor) -> String {
    let lines = [
        ("requires", &descriptor.requires),
        ("optional", &descriptor.optional),
        ("provides", &descriptor.provides),
    ];
    let lines = lines.map(|(word, names)| match names.is_empty() {
        true => format!("  {word}  -\n"),
        false => format!("  {word}  {}\n", printable(&names.join(", "))),
    });
    lines.concat()
}
