//! `cairn plugin …`: creates, builds, tests and inspects plugins. One subcommand per file.

mod build;
mod call;
mod check;
mod diff;
mod inspect;
mod new;
mod test;

use std::path::Path;
use std::sync::Arc;

use cairn::plugin::{Plugin as Component, PluginError};
use cairn::value;
use cairn::{Diagnostic, Object, Value};
use clap::Subcommand;

use crate::exit::{Exit, Failure};
use crate::input;
use crate::session::Session;

/// Prefix of the name of a built-in plugin.
const BUILTIN: &str = "builtin:";

/// Create, build, test and inspect plugins
#[derive(Debug, Subcommand)]
pub enum Plugin {
    New(new::New),
    Build(build::Build),
    Check(check::Check),
    Inspect(inspect::Inspect),
    Diff(diff::Diff),
    Call(call::Call),
    Test(test::Test),
}

impl Plugin {
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let done = match self {
            Self::Diff(diff) => return diff.run(session),
            Self::Check(check) => return check.run(session),
            Self::New(new) => new.run(),
            Self::Build(build) => build.run(),
            Self::Inspect(inspect) => inspect.run(session),
            Self::Call(call) => return call.run(session),
            Self::Test(test) => return test.run(session),
        };
        done.map(|()| Exit::Ok)
    }
}

/// Reads a component: a file, or a built-in plugin.
fn read(plugin: &str) -> Result<Vec<u8>, Diagnostic> {
    let Some(name) = plugin.strip_prefix(BUILTIN) else {
        return input::component(Path::new(plugin));
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

/// Loads the component of a file or of a built-in plugin.
fn load(session: &Session, plugin: &str) -> Result<Arc<Component>, Failure> {
    let bytes = read(plugin)?;
    let loaded = session.plugins()?.load(&bytes);
    loaded.map_err(|error| failed(plugin, error))
}

/// Converts the error of a component, and adds its file.
fn failed(plugin: &str, error: PluginError) -> Failure {
    let mut failure = Failure::from(error);
    if !plugin.starts_with(BUILTIN) {
        failure.diagnostic = failure.diagnostic.at(Path::new(plugin), None);
    }
    failure
}

/// Parses a JSON object on the command line.
fn object(text: &str) -> Result<Object, String> {
    match value::parse(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("write a JSON object".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
