//! The description of a plugin by itself.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::wire::Ports;

/// Maximum length of an input's name, in bytes.
const MAX_NAME: usize = 128;
/// Maximum number of names in one list.
const MAX_NAMES: usize = 256;

/// The description that a plugin returns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// The plugin's name in reports.
    pub name: String,
    /// Major and minor version.
    pub version: (u32, u32),
    /// Inputs that an earlier task must provide.
    pub requires: Vec<String>,
    /// Inputs that the task gets if an earlier task's result has them.
    pub optional: Vec<String>,
    /// Names that the result contains.
    pub provides: Vec<String>,
}

impl Descriptor {
    /// Checks the rules of `wit/plugin.wit`; the error is a sentence about the broken rule.
    ///
    /// The name has 1 to 64 lower-case letters, digits and hyphens. A list has no duplicates, an input is either required or
    /// optional, and names of inputs are not empty, at most 128 bytes long, and free of control characters.
    pub fn check(&self) -> Result<(), String> {
        let named = (1..=64).contains(&self.name.len())
            && self
                .name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !named {
            let name: String = self.name.chars().take(64).collect();
            return Err(format!(
                "its name is `{}`, and a name has 1 to 64 lower-case letters, digits and hyphens",
                name.escape_debug()
            ));
        }
        let requires = distinct("requires", &self.requires)?;
        let optional = distinct("optional", &self.optional)?;
        distinct("provides", &self.provides)?;
        match requires.intersection(&optional).next() {
            Some(both) => Err(format!("`{both}` is both required and optional")),
            None => Ok(()),
        }
    }

    /// Returns the inputs and outputs of a task called `name` with this plugin.
    pub fn ports<'a>(&'a self, name: &'a str) -> Ports<'a, &'a str> {
        Ports {
            task: name,
            requires: &self.requires,
            optional: &self.optional,
            provides: &self.provides,
        }
    }
}

fn distinct<'n>(list: &str, names: &'n [String]) -> Result<BTreeSet<&'n str>, String> {
    if names.len() > MAX_NAMES {
        return Err(format!("`{list}` has more than {MAX_NAMES} names"));
    }
    let mut seen = BTreeSet::new();
    for name in names {
        if name.is_empty() {
            return Err(format!("`{list}` holds an empty name"));
        }
        if name.len() > MAX_NAME || name.contains(char::is_control) {
            return Err(format!(
                "`{list}` holds a name that is longer than {MAX_NAME} bytes or has control characters in it"
            ));
        }
        if !seen.insert(name.as_str()) {
            return Err(format!("`{list}` names `{name}` twice"));
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        name: &str,
        requires: &[&str],
        optional: &[&str],
        provides: &[&str],
    ) -> Result<(), String> {
        let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Descriptor {
            name: name.to_owned(),
            version: (1, 0),
            requires: list(requires),
            optional: list(optional),
            provides: list(provides),
        }
        .check()
    }

    #[test]
    fn a_task_may_provide_what_it_requires() {
        check(
            "quota-commit",
            &["reservations", "volume_properties"],
            &[],
            &["volume_properties"],
        )
        .unwrap();
    }

    #[test]
    fn a_descriptor_that_makes_no_sense_is_refused() {
        for (result, reason) in [
            (check("", &[], &[], &[]), "its name is ``"),
            (check("Upper", &[], &[], &[]), "its name is `Upper`"),
            (check("a;b", &[], &[], &[]), "its name is `a;b`"),
            (check(&"a".repeat(65), &[], &[], &[]), "1 to 64"),
            (
                check("a", &["x", "x"], &[], &[]),
                "`requires` names `x` twice",
            ),
            (
                check("a", &[], &["x", "x"], &[]),
                "`optional` names `x` twice",
            ),
            (
                check("a", &[], &[], &["x", "x"]),
                "`provides` names `x` twice",
            ),
            (
                check("a", &["x"], &["x"], &[]),
                "`x` is both required and optional",
            ),
            (
                check("a", &[], &[], &[""]),
                "`provides` holds an empty name",
            ),
            (check("a", &["x\u{1b}[2J"], &[], &[]), "control characters"),
            (check("a", &["x"; 257], &[], &[]), "more than 256 names"),
        ] {
            let error = result.unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
