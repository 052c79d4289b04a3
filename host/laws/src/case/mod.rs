//! Cases: what a plugin is asked, and what should come of it. Each world has a type of case of its own.

mod policy;
mod requester;
mod task;
mod validator;
mod varies;

use std::collections::BTreeSet;
use std::path::Path;

use cairn::error::Diagnostic;
use cairn::plan::Role;
use cairn::printable;
use serde::Deserialize;

pub use policy::{PolicyCase, PolicyExpect};
pub use requester::Requester;
pub use task::{Before, HostSettings, TaskCase, TaskExpect};
pub use validator::{ExpectedViolation, ValidatorCase, ValidatorExpect};
pub use varies::Varies;

use crate::document::read;
use crate::error::LawsError;

/// One `[[case]]` of a file in a plugin's folder `cases`.
#[derive(Clone, Debug, PartialEq)]
pub enum Case {
    /// A call of a task.
    Task(Box<TaskCase>),
    /// A question to a policy.
    Policy(PolicyCase),
    /// A question to a validator.
    Validator(ValidatorCase),
}

/// What the cases of a file take the plugin for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum World {
    Task,
    Policy,
    Validator,
}

impl World {
    const fn role(self) -> Role {
        match self {
            Self::Task => Role::Task,
            Self::Policy => Role::Policy,
            Self::Validator => Role::Validator,
        }
    }
}

/// What is looked for in a file before the world is known that its keys depend on.
#[derive(Deserialize)]
struct Head {
    world: Option<World>,
}

impl Case {
    /// Reads the text of a file of cases. `file` names it in messages, and is where relative paths in it start. `roles` is what
    /// the plugin can be used as; where that is more than one thing, the file says by `world` which of them is meant.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line: text that is no TOML, a key that nobody knows, a value of a wrong type, two
    /// cases of one name, no case at all, a world that is not the plugin's.
    pub fn parse(text: &str, file: &Path, roles: &BTreeSet<Role>) -> Result<Vec<Self>, Diagnostic> {
        let role = role_of(read::<Head>(text, file)?.world, file, roles)?;
        let cases = match role {
            Role::Task => TaskCase::parse(text, file)
                .map(|cases| wrapped(cases, |case| Self::Task(Box::new(case)))),
            Role::Policy => PolicyCase::parse(text, file).map(|cases| wrapped(cases, Self::Policy)),
            Role::Validator => {
                ValidatorCase::parse(text, file).map(|cases| wrapped(cases, Self::Validator))
            }
        };
        cases.map_err(|error| match error.help {
            Some(_) => error,
            None => error.help(format!(
                "these are cases of a {}; `cairn plugin test --help` shows one",
                role.noun()
            )),
        })
    }

    /// What the case shows; unique in its file.
    pub fn name(&self) -> &str {
        match self {
            Self::Task(case) => &case.name,
            Self::Policy(case) => &case.name,
            Self::Validator(case) => &case.name,
        }
    }

    /// What it takes the plugin for.
    pub const fn role(&self) -> Role {
        match self {
            Self::Task(_) => Role::Task,
            Self::Policy(_) => Role::Policy,
            Self::Validator(_) => Role::Validator,
        }
    }
}

fn wrapped<C>(cases: Vec<C>, wrap: impl Fn(C) -> Case) -> Vec<Case> {
    cases.into_iter().map(wrap).collect()
}

/// What the cases of a file are about.
fn role_of(world: Option<World>, file: &Path, roles: &BTreeSet<Role>) -> Result<Role, Diagnostic> {
    let nouns: Vec<&str> = roles.iter().map(|role| role.noun()).collect();
    let is = nouns.join(" and a ");
    let mut known = roles.iter().copied();
    match (world.map(World::role), known.next(), known.next()) {
        (Some(role), ..) if roles.contains(&role) => Ok(role),
        (Some(role), ..) => {
            let noun = role.noun();
            let message = format!("these are cases of a {noun}, and the plugin is a {is}");
            Err(Diagnostic::new(message).at(file, None).help(format!(
                "its world is `world = \"{}\"`",
                nouns.join("\" or \"")
            )))
        }
        (None, Some(role), None) => Ok(role),
        (None, ..) => {
            let message =
                format!("the plugin is a {is}, and these cases do not say which they mean");
            Err(Diagnostic::new(message).at(file, None).help(format!(
                "write `world = \"{}\"` above the first [[case]]",
                nouns.join("\" or \"")
            )))
        }
    }
}

/// What is wrong with a case, with its name and its file.
pub(crate) fn told(name: &str, file: &Path, diagnostic: Diagnostic) -> Diagnostic {
    Diagnostic {
        message: format!("case `{}`: {}", printable::line(name), diagnostic.message),
        help: diagnostic.help,
        ..Diagnostic::new("").at(file, None)
    }
}

/// The same for an error that may be another's fault.
pub(crate) fn told_error(name: &str, file: &Path, error: LawsError) -> LawsError {
    match error {
        LawsError::Invalid(diagnostic) => LawsError::Invalid(told(name, file, diagnostic)),
        other => other,
    }
}

#[cfg(test)]
mod tests;
