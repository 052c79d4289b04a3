//! Cases: the inputs of a plugin and the expected outcome. Each world has its own type of case.

mod external;
mod policy;
mod requester;
mod task;
mod validator;
mod varies;

use std::collections::BTreeSet;
use std::path::Path;

use cairn::plan::Role;
use cairn::{Diagnostic, printable};
use serde::Deserialize;

pub use external::ExternalCase;
pub use policy::{PolicyCase, PolicyExpect};
pub use requester::Requester;
pub use task::{Before, HostSettings, TaskCase, TaskExpect};
pub use validator::{ExpectedViolation, ValidatorCase, ValidatorExpect};
pub use varies::Varies;

use crate::document::read;
use crate::error::LawsError;

/// A `[[case]]` of a file in a plugin's folder `cases`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Case {
    /// A call of a task.
    Task(Box<TaskCase>),
    /// A question to a policy.
    Policy(PolicyCase),
    /// A question to a validator.
    Validator(ValidatorCase),
    /// An object that an external makes.
    External(ExternalCase),
}

/// The world of a file's cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum World {
    Task,
    Policy,
    Validator,
    External,
}

impl World {
    const fn role(self) -> Role {
        match self {
            Self::Task => Role::Task,
            Self::Policy => Role::Policy,
            Self::Validator => Role::Validator,
            Self::External => Role::External,
        }
    }
}

/// The part of a file that is read first, because its other keys depend on the world.
#[derive(Deserialize)]
struct Head {
    world: Option<World>,
}

impl Case {
    /// Reads the text of a file of cases. `file` names it in messages, and relative paths in it start at its folder. `roles` are the roles
    /// of the plugin; if there are several, `world` in the file selects one.
    ///
    /// # Errors
    /// The first mistake, with its line: invalid TOML, an unknown key, a value of a wrong type, two cases of one name, no case, or a
    /// world that is not the plugin's.
    pub fn parse(text: &str, file: &Path, roles: &BTreeSet<Role>) -> Result<Vec<Self>, Diagnostic> {
        let role = role_of(read::<Head>(text, file)?.world, file, roles)?;
        let cases = match role {
            Role::Task => TaskCase::parse(text, file)
                .map(|cases| wrapped(cases, |case| Self::Task(Box::new(case)))),
            Role::Policy => PolicyCase::parse(text, file).map(|cases| wrapped(cases, Self::Policy)),
            Role::Validator => {
                ValidatorCase::parse(text, file).map(|cases| wrapped(cases, Self::Validator))
            }
            Role::External => {
                ExternalCase::parse(text, file).map(|cases| wrapped(cases, Self::External))
            }
        };
        cases.map_err(|error| match error.help {
            Some(_) => error,
            None => error.help(format!(
                "these are cases of {}; `cairn plugin test --help` shows one",
                role.with_article()
            )),
        })
    }

    /// Returns the name of the case, which is unique in its file.
    pub fn name(&self) -> &str {
        match self {
            Self::Task(case) => &case.name,
            Self::Policy(case) => &case.name,
            Self::Validator(case) => &case.name,
            Self::External(case) => &case.name,
        }
    }

    /// Returns the role in which it uses the plugin.
    pub const fn role(&self) -> Role {
        match self {
            Self::Task(_) => Role::Task,
            Self::Policy(_) => Role::Policy,
            Self::Validator(_) => Role::Validator,
            Self::External(_) => Role::External,
        }
    }
}

fn wrapped<C>(cases: Vec<C>, wrap: impl Fn(C) -> Case) -> Vec<Case> {
    cases.into_iter().map(wrap).collect()
}

/// Returns the role that the cases of a file test.
fn role_of(world: Option<World>, file: &Path, roles: &BTreeSet<Role>) -> Result<Role, Diagnostic> {
    let nouns: Vec<&str> = roles.iter().map(|role| role.noun()).collect();
    let is: Vec<&str> = roles.iter().map(|role| role.with_article()).collect();
    let is = is.join(" and ");
    let mut known = roles.iter().copied();
    match (world.map(World::role), known.next(), known.next()) {
        (Some(role), ..) if roles.contains(&role) => Ok(role),
        (Some(role), ..) => {
            let noun = role.with_article();
            let message = format!("these are cases of {noun}, and the plugin is {is}");
            Err(Diagnostic::new(message).at(file, None).help(format!(
                "its world is `world = \"{}\"`",
                nouns.join("\" or \"")
            )))
        }
        (None, Some(role), None) => Ok(role),
        (None, ..) => {
            let message = format!("the plugin is {is}, and these cases do not say which they mean");
            Err(Diagnostic::new(message).at(file, None).help(format!(
                "write `world = \"{}\"` above the first [[case]]",
                nouns.join("\" or \"")
            )))
        }
    }
}

/// Adds the name and file of a case to a message.
pub(crate) fn told(name: &str, file: &Path, diagnostic: Diagnostic) -> Diagnostic {
    Diagnostic {
        message: format!("case `{}`: {}", printable::line(name), diagnostic.message),
        help: diagnostic.help,
        ..Diagnostic::new("").at(file, None)
    }
}

/// Adds the name and file of a case to an error that the case caused; returns other errors unchanged.
pub(crate) fn told_error(name: &str, file: &Path, error: LawsError) -> LawsError {
    match error {
        LawsError::Invalid(diagnostic) => LawsError::Invalid(told(name, file, diagnostic)),
        other => other,
    }
}

#[cfg(test)]
mod tests;
