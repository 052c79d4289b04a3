//! Records where each setting comes from: an option, a variable, or a line of the settings file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cairn::document::{Document, Table};
use cairn::{Diagnostic, Object, Value};
use clap::ArgMatches;
use clap::parser::ValueSource;

/// Where one setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This option.
    Flag(String),
    /// This variable.
    Variable(String),
    /// This line of the settings file.
    File(PathBuf, usize),
    /// Not set, so the default applies.
    Default,
}

/// A setting in the settings file: its line and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    pub line: usize,
    pub value: Value,
}

/// The settings that were given, with their sources.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    /// Options of the command that runs, by their names with `_`: source and value of each.
    options: BTreeMap<String, (ValueSource, String)>,
    file: Option<PathBuf>,
    written: BTreeMap<String, Written>,
}

/// Options that are settings. The variable of each is `CAIRN_` and its name.
const OPTIONS: &[&str] = &[
    "db",
    "policy",
    "zone",
    "default_volume_type",
    "cache",
    "components",
    "master_key",
    "user",
    "project",
    "log_format",
    "log_level",
];

impl Origins {
    /// Reads the options of the command that runs.
    pub fn of(matches: &ArgMatches) -> Self {
        let mut command = matches;
        while let Some((_, below)) = command.subcommand() {
            command = below;
        }
        let given = OPTIONS.iter().filter_map(|id| {
            // Not every command has every option.
            let mut raw = command.try_get_raw(id).ok().flatten()?;
            let value = raw.next()?.to_string_lossy().into_owned();
            let source = command.value_source(id)?;
            Some(((*id).to_owned(), (source, value)))
        });
        Self {
            options: given.collect(),
            ..Self::default()
        }
    }

    /// Adds the settings of the settings file.
    ///
    /// # Errors
    /// When it is not TOML.
    pub fn read(&mut self, text: &str, file: &Path) -> Result<(), Diagnostic> {
        let document = Document::new(text, file)?;
        let entries = document.parse()?;
        let values: Object = toml::from_str(text)
            .map_err(|error| Diagnostic::new(error.message()).at(file, None))?;
        self.walk("", &document.root(&entries), &values);
        self.file = Some(file.to_owned());
        Ok(())
    }

    fn walk(&mut self, above: &str, table: &Table<'_>, values: &Object) {
        for (key, item) in table.items() {
            let name = match above {
                "" => key.to_owned(),
                above => format!("{above}.{key}"),
            };
            let value = values.get(key).cloned().unwrap_or_default();
            match (item.as_table(), value) {
                (Some(table), Value::Object(values)) if !values.is_empty() => {
                    self.walk(&name, &table, &values);
                }
                (_, value) => {
                    let line = item.line();
                    self.written.insert(name, Written { line, value });
                }
            }
        }
    }

    /// Returns the settings file, if there is one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Lists the settings of the file, by dotted names.
    pub fn written(&self) -> impl Iterator<Item = (&str, &Written)> {
        self.written
            .iter()
            .map(|(name, written)| (name.as_str(), written))
    }

    /// Returns the value of an option, from the command line, its variable or its default.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(|(_, value)| value.as_str())
    }

    /// Returns where a setting comes from.
    pub fn origin(&self, name: &str) -> Origin {
        match self.options.get(name) {
            Some((ValueSource::CommandLine, _)) => {
                return Origin::Flag(format!("--{}", name.replace('_', "-")));
            }
            Some((ValueSource::EnvVariable, _)) => {
                return Origin::Variable(format!("CAIRN_{}", name.to_uppercase()));
            }
            _ => {}
        }
        match (&self.file, self.written.get(name)) {
            (Some(file), Some(written)) => Origin::File(file.clone(), written.line),
            _ => Origin::Default,
        }
    }
}
