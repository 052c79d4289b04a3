//! `cairn plugin check`: checks a plugin against the contract.

mod list;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytesize::ByteSize;
use cairn::manifest::{GrantKinds, Limits, Source};
use cairn::plan::{Descriptor, SettingsError, check_settings};
use cairn::plugin::{Plugin as Component, PluginError, Plugins};
use cairn::{Diagnostic, Manifest, Object, Value, file};
use clap::Args;
use serde::Serialize;

use super::{failed, object};
use crate::args::{Format, Placement};
use crate::envelope::Envelope;
use crate::exit::{Exit, Failure};
use crate::input::{self, Input};
use crate::output::{self, count};
use crate::project::Project;
use crate::session::Session;
use list::{Broken, Checklist, Item};

/// How often each question is asked.
const REPEATS: usize = 3;

/// Help for a plugin that answers the same question differently.
const FIX_ANSWERS: &str =
    "let the answer depend on the settings alone, not on the time or on random numbers";

/// Check a plugin against the contract
#[derive(Args, Debug)]
pub struct Check {
    /// File of a component, or folder of a plugin, with its flow.toml and request.json
    #[arg(value_name = "PLUGIN", default_value = ".")]
    plugin: PathBuf,
    /// Settings, a JSON object, instead of those in flow.toml
    #[arg(long, value_name = "JSON", value_parser = object)]
    settings: Option<Object>,
    /// Inputs of the call, a JSON object, instead of request.json: a file, - for stdin, or the object itself; required inputs that it leaves out are null
    #[arg(long, alias = "input", value_name = "FILE|JSON")]
    inputs: Option<Input>,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    placement: Placement,
}

/// The plugin to check, with its settings, limits and inputs.
struct Subject {
    component: PathBuf,
    bytes: Vec<u8>,
    settings: Object,
    limits: Limits,
    /// The author's flow, if that is the one to run.
    flow: Option<Manifest>,
    /// The request of the flow.
    inputs: Object,
}

/// The result of the check.
#[derive(Serialize)]
struct Checked {
    component: PathBuf,
    passed: bool,
    checks: Vec<Item>,
}

impl Check {
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let subject = self.subject(&session.settings.kinds)?;
        let plugins = session.plugins()?;
        let mut list = Checklist::default();
        let broken = match subject.load(&plugins, &mut list)? {
            Ok(plugin) => match subject.look(&plugin, &mut list) {
                Ok(descriptor) => subject.trial(session, &plugins, &descriptor, &mut list)?,
                Err(broken) => Some(broken),
            },
            Err(broken) => Some(broken),
        };
        let passed = broken.is_none();
        let checks = list.finish(broken);
        if self.format.is_json() {
            let component = subject.component;
            output::document(
                self.format,
                &Checked {
                    component,
                    passed,
                    checks,
                },
            )?;
        } else {
            let component = subject.component.to_string_lossy();
            let component = output::printable(&component);
            output::print(&format!("{component}\n{}", list::text(&checks)))?;
        }
        Ok(if passed { Exit::Ok } else { Exit::Failed })
    }

    fn subject(&self, kinds: &GrantKinds) -> Result<Subject, Failure> {
        let mut subject = match self.plugin.is_dir() {
            true => Subject::in_folder(&self.plugin, kinds)?,
            false => Subject::of(self.plugin.clone())?,
        };
        // The author's flow is not made for other settings or inputs.
        if let Some(settings) = &self.settings {
            subject.settings = settings.clone();
            subject.flow = None;
        }
        if let Some(inputs) = &self.inputs {
            subject.inputs = input::object(inputs, "the inputs")?;
            subject.flow = None;
        }
        Ok(subject)
    }
}

impl Subject {
    fn of(component: PathBuf) -> Result<Self, Failure> {
        Ok(Self {
            bytes: input::component(&component)?,
            component,
            settings: Object::new(),
            limits: Limits::default(),
            flow: None,
            inputs: Object::new(),
        })
    }

    fn in_folder(folder: &Path, kinds: &GrantKinds) -> Result<Self, Failure> {
        let component = Project::open(folder)?.component();
        if file::is_absent(&component) {
            let build = format!("run `cairn plugin build {}`", folder.display());
            let diagnostic = Diagnostic::new("the plugin is not built").at(&component, None);
            return Err(diagnostic.help(build).into());
        }
        let mut subject = Self::of(component)?;
        let flow = folder.join("flow.toml");
        if !file::is_absent(&flow) {
            let text = input::text(&flow, "the flow")?;
            subject.by(Manifest::parse(&text, &flow, kinds)?);
        }
        let request = folder.join("request.json");
        if !file::is_absent(&request) {
            let document = input::request(Some(&Input::File(request.clone())))?;
            let inputs = Envelope::open(document).request;
            if let Value::Object(inputs) = inputs.map_err(|problem| problem.at(&request, None))? {
                subject.inputs = inputs;
            }
        }
        Ok(subject)
    }

    /// Takes settings and limits from the author's flow, if the plugin is in it.
    fn by(&mut self, flow: Manifest) {
        let ours = fs::canonicalize(&self.component).ok();
        let entry = flow.plugins.values().find(|entry| match &entry.source {
            Source::Path(path) => fs::canonicalize(path).ok() == ours,
            Source::Builtin(_) => false,
        });
        if let Some(entry) = entry {
            self.settings = entry.settings.clone();
            self.limits = entry.limits.clone();
            self.flow = Some(flow);
        }
    }

    /// Loads the component, and checks that it is a plugin of this contract.
    ///
    /// # Errors
    /// When the file is not a component, or cannot be compiled: then nothing can be checked.
    fn load(
        &self,
        plugins: &Arc<Plugins>,
        list: &mut Checklist,
    ) -> Result<Result<Arc<Component>, Broken>, Failure> {
        let loaded = plugins.load(&self.bytes);
        let checked = match loaded {
            Ok(plugin) => Ok(plugin),
            Err(error) => match error {
                PluginError::MissingExport { .. } | PluginError::WrongVersion { .. } => {
                    Err(Broken::by("world", &error))
                }
                PluginError::UnknownImport { .. }
                | PluginError::Network { .. }
                | PluginError::Mismatch(_) => Err(Broken::by("imports", &error)),
                _ => return Err(failed(&self.component.to_string_lossy(), error)),
            },
        };
        let size = ByteSize(self.bytes.len() as u64).display().iec();
        list.pass("component", format!("valid, {size}"));
        Ok(checked)
    }

    /// Checks the items that need no call.
    fn look(&self, plugin: &Component, list: &mut Checklist) -> Result<Descriptor, Broken> {
        list.pass("world", roles(plugin));
        list.pass("imports", imports(plugin));

        let schema = self.schema(plugin)?;
        let known = schema["properties"].as_object().map_or(0, Object::len);
        let known = format!("a JSON schema with {}", count(known, "setting"));
        match check_settings(&self.settings, &schema) {
            Ok(()) => list.pass("schema", known),
            Err(error @ SettingsError::Settings(_)) => {
                list.pass("schema", known);
                return Err(Broken::new("settings", error.to_string())
                    .help("set others with --settings, or in flow.toml"));
            }
            Err(error) => return Err(Broken::new("schema", error.to_string())),
        }
        let settings = Value::Object(self.settings.clone());
        list.pass("settings", format!("{settings} fits the schema"));

        let descriptor = self.description(plugin)?;
        list.pass("description", described(&descriptor));
        Ok(descriptor)
    }

    /// Returns the schema of the settings, if it is always the same.
    fn schema(&self, plugin: &Component) -> Result<Value, Broken> {
        let ask = || plugin.settings_schema(&self.limits);
        let ask = || ask().map_err(|error| Broken::by("schema", &error));
        let schema = ask()?;
        for _ in 1..REPEATS {
            if ask()? != schema {
                return Err(
                    Broken::new("schema", "it changes from one instance to the next")
                        .help(FIX_ANSWERS),
                );
            }
        }
        Ok(schema)
    }

    /// Returns the description, if it is always the same.
    fn description(&self, plugin: &Component) -> Result<Descriptor, Broken> {
        let ask = || plugin.describe_uncached(&self.settings, &self.limits);
        let ask = || ask().map_err(|error| Broken::by("description", &error));
        let descriptor = ask()?;
        for _ in 1..REPEATS {
            if ask()? != descriptor {
                return Err(
                    Broken::new("description", "it changes from one instance to the next")
                        .help(FIX_ANSWERS),
                );
            }
        }
        Ok(descriptor)
    }
}

/// Names the plugin's roles in a flow.
fn roles(plugin: &Component) -> String {
    let roles = plugin.roles();
    let roles = roles.iter().map(|role| role.with_article());
    roles.collect::<Vec<_>>().join(" and ")
}

/// Returns the capabilities that the plugin must be granted, each once.
fn needed_grants(plugin: &Component) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for capability in plugin
        .imports()
        .iter()
        .filter_map(|import| import.capability.as_deref())
    {
        if !names.contains(&capability) {
            names.push(capability);
        }
    }
    names
}

fn imports(plugin: &Component) -> String {
    let names = needed_grants(plugin);
    match names.is_empty() {
        true => "needs no grant".to_owned(),
        false => format!("needs the grants {}", names.join(", ")),
    }
}

fn described(descriptor: &Descriptor) -> String {
    let (major, minor) = descriptor.version;
    let mut text = format!("{} {major}.{minor}", descriptor.name);
    for (word, names) in [
        ("requires", &descriptor.requires),
        ("may take", &descriptor.optional),
        ("provides", &descriptor.provides),
    ] {
        if !names.is_empty() {
            text += &format!(", {word} {}", names.join(", "));
        }
    }
    text + &format!("; the same in {REPEATS} instances")
}
