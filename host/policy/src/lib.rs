//! The operator's policy: named rules that decide who may do what, in the language of OpenStack's policy files.
//!
//! | rule | passes when |
//! |---|---|
//! | `""`, `[]` or `@` | always |
//! | `!` | never |
//! | `role:NAME` | the caller has the role, in upper or lower case |
//! | `rule:NAME` | the rule of that name passes; if there is none, the rule `default` |
//! | `ATTRIBUTE:MATCH` | the caller's `user_id`, `project_id`, `is_admin`, `quota_class`, or one of the `roles`, is the match |
//! | `'text':MATCH`, `True:MATCH`, `5:MATCH` | the literal is the match |
//! | `wasm:NAME` | the plugin of that name in the flow's manifest allows it; see [`Asks`] |
//! | `not A`, `A and B`, `A or B`, `(A)` | as usual; `not` binds first, then `and` |
//!
//! A match may hold `%(name)s`, a value of the target: its key `name`, or a path such as `volume.project_id` through
//! objects. A key that the target lacks fails the check. `%%` is a percent sign. Values are compared as the text that Python
//! writes: `True`, `None`, `1e+16`, `['a', 1]`.
//!
//! A plugin that fails, traps or is late denies the whole question, also under `not` and beside an `or`: a missing answer never
//! lets a caller in. A plugin is not asked if an earlier part of the rule has decided. Each plugin is asked once per question,
//! about the action and the target of the question.
//!
//! A policy file is a JSON or a YAML map of rules by name. The source of the rules is `oslo.policy` (`_parser.py`,
//! `_checks.py`); the test `oslo_policy` replays its verdicts. A rule that is accepted here has the same verdict there. These
//! are errors here, while oslo.policy accepts them with a meaning that is probably not intended:
//!
//! | refused | oslo.policy |
//! |---|---|
//! | a rule that cannot be parsed | a check that always fails, which under `not` lets every caller in |
//! | a rule that is neither a string nor a list (YAML's `rule:` and `rule: !` are null) | always passes when it is null |
//! | a name that occurs twice | the last one is kept |
//! | rules that refer to themselves, or are nested too deeply | fails when asked |
//! | `%` except in `%(name)s` and `%%`, with a plain name | the result of Python's `%` |
//! | before the colon, anything but a decimal number, a string without escapes, or a name | the result of Python's `literal_eval` |
//! | `user_id.x`: a path through an attribute that is text | fails when asked |
//! | checks of the kinds `http` and `https` | asks a server |
//! | `wasm:NAME` in the rule `context_is_admin`, which is asked where there is no flow | knows no plugins |

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cairn_model::error::Diagnostic;
use cairn_model::id::Identity;
use cairn_model::value::Object;

mod ask;
mod eval;
mod explain;
mod fault;
mod file;
mod literal;
mod parse;
mod python;
pub(crate) mod rule;

pub use ask::{Asks, NoPlugins, PluginAnswer, Ruling};
pub use explain::{Clause, ClauseResult, Compared, Explanation};

use eval::Evaluation;
use rule::Rule;

/// Maximum height of a rule with its references expanded. It bounds the recursion of [`Policy::check`].
const MAX_HEIGHT: usize = 512;

/// The rule that decides for actions and references without a rule.
const DEFAULT_RULE: &str = "default";

/// The rule that decides which roles make an admin.
const ADMIN_RULE: &str = "context_is_admin";

/// The caller, as rules see it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credentials<'a> {
    /// The caller.
    pub user_id: &'a str,
    /// The caller's project.
    pub project_id: &'a str,
    /// The caller's roles.
    pub roles: &'a [String],
    /// Whether the caller is an admin. Rules see this flag, independently of the roles.
    pub is_admin: bool,
    /// The caller's quota class.
    pub quota_class: Option<&'a str>,
}

impl<'a> From<&'a Identity> for Credentials<'a> {
    fn from(identity: &'a Identity) -> Self {
        Self {
            user_id: &identity.user_id,
            project_id: &identity.project_id,
            roles: &identity.roles,
            is_admin: identity.is_admin,
            quota_class: identity.quota_class.as_deref(),
        }
    }
}

/// Rules by name. Every rule was parsed, and none refers to itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub(crate) rules: BTreeMap<String, Rule>,
}

impl Default for Policy {
    /// Returns Cinder's rules for the actions of Cairn: every caller may create volumes, an admin may do anything, and actions
    /// without a rule are for admins and the owner.
    fn default() -> Self {
        Self::parse(include_str!("default.json"), None)
            .expect("the built-in policy is sound; a test reads it")
    }
}

impl Policy {
    /// Parses a policy file: one map of rules by name, each a string or a list of lists of checks. `file` names it in messages.
    ///
    /// The text is YAML if the name ends in `.yaml` or `.yml`, and JSON if it ends in `.json`; otherwise it is JSON if it
    /// begins with `{`, else YAML. Empty YAML has no rules.
    ///
    /// # Errors
    /// The first problem, with its line if known: text that is not a map, a name that occurs twice, a rule that cannot be
    /// parsed, rules that form a cycle or are nested too deeply. In YAML also tags, several documents, `<<`, and aliases that
    /// repeat more than a megabyte.
    pub fn parse(text: &str, file: Option<&Path>) -> Result<Self, Diagnostic> {
        file::policy(text, file)
    }

    /// Adds the rules of `other`, which replace rules of the same name.
    ///
    /// # Errors
    /// When the rules together form a cycle or are nested too deeply.
    pub fn with(mut self, other: Self) -> Result<Self, Diagnostic> {
        self.rules.extend(other.rules);
        self.check_references()
            .map_err(|(_, diagnostic)| diagnostic)?;
        self.check_admin()?;
        Ok(self)
    }

    /// Decides whether the caller may do `action` to `target`. The rule `default` decides on an action without a rule; without
    /// it, the action is denied.
    ///
    /// The target is used as it is: without a `project_id` it has no owner. A rule that asks a plugin denies: see
    /// [`decide`](Self::decide).
    pub fn check(&self, action: &str, credentials: &Credentials<'_>, target: &Object) -> bool {
        self.decide(action, credentials, target, &NoPlugins).allowed
    }

    /// Returns the rule that decides for `name`, and its name.
    fn resolve(&self, name: &str) -> Option<(&str, &Rule)> {
        let own = self.rules.get_key_value(name);
        let rule = own.or_else(|| self.rules.get_key_value(DEFAULT_RULE));
        rule.map(|(name, rule)| (name.as_str(), rule))
    }

    /// Returns whether these roles make an admin: evaluates the rule `context_is_admin` for a caller without a name or a
    /// project. Without this rule there are no admins.
    pub fn is_admin(&self, roles: &[String]) -> bool {
        let credentials = Credentials {
            roles,
            ..Credentials::default()
        };
        self.rules.get(ADMIN_RULE).is_some_and(|rule| {
            Evaluation::new(self, ADMIN_RULE, credentials, &Object::new(), &NoPlugins).passes(rule)
        })
    }

    /// Returns the rules by name, in the canonical form of the language.
    pub fn rules(&self) -> impl Iterator<Item = (&str, String)> {
        self.rules
            .iter()
            .map(|(name, rule)| (name.as_str(), rule.to_string()))
    }

    /// Returns warnings about references to rules that do not exist, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let decides = match self.rules.contains_key(DEFAULT_RULE) {
            true => "does not exist: the rule `default` decides",
            false => "does not exist and so never passes",
        };
        let mut warnings = Vec::new();
        for (name, rule) in &self.rules {
            let unknown: BTreeSet<_> = rule
                .references()
                .into_iter()
                .filter(|&reference| !self.rules.contains_key(reference))
                .collect();
            for reference in unknown {
                let (name, reference) = (name.escape_debug(), reference.escape_debug());
                warnings.push(format!(
                    "rule `{name}` refers to `{reference}`, which {decides}"
                ));
            }
        }
        warnings
    }

    /// Refuses cycles, and chains of references that would need too much stack. The error includes the rule to look at.
    fn check_references(&self) -> Result<(), (&str, Diagnostic)> {
        let mut heights: BTreeMap<&str, usize> = BTreeMap::new();
        for start in self.rules.keys() {
            // The path from `start` to the current rule, each with the references that remain to be followed. An explicit
            // stack: a chain of references may be as long as the file.
            let mut way = vec![self.step(start)];
            while let Some(step) = way.last_mut() {
                let Some(next) = step.rest.pop() else {
                    let (name, height) = (step.name, step.height());
                    if height > MAX_HEIGHT {
                        return Err((name, too_high(name)));
                    }
                    heights.insert(name, height);
                    way.pop();
                    if let Some(referring) = way.last_mut() {
                        referring.below = referring.below.max(height);
                    }
                    continue;
                };
                if let Some(&height) = heights.get(next) {
                    step.below = step.below.max(height);
                } else if let Some(first) = way.iter().position(|step| step.name == next) {
                    let cycle: Vec<_> = way.iter().skip(first).map(|step| step.name).collect();
                    return Err((next, cyclic(&cycle)));
                } else if way.len() > MAX_HEIGHT {
                    // The height would show this too, but only after a search for cycles that takes quadratic time.
                    return Err((start, too_high(start)));
                } else {
                    way.push(self.step(next));
                }
            }
        }
        Ok(())
    }

    fn step<'p>(&'p self, name: &'p str) -> Step<'p> {
        let rule = self.rules.get(name);
        Step {
            name,
            own: rule.map_or(0, Rule::height),
            below: 0,
            rest: rule
                .into_iter()
                .flat_map(Rule::references)
                .filter_map(|reference| Some(self.resolve(reference)?.0))
                .collect(),
        }
    }
}

/// A rule on a path along references.
struct Step<'p> {
    name: &'p str,
    /// Height of the rule without its references.
    own: usize,
    /// Height of the highest rule that it refers to.
    below: usize,
    /// References that remain to be followed.
    rest: Vec<&'p str>,
}

impl Step<'_> {
    fn height(&self) -> usize {
        self.own.saturating_add(self.below)
    }
}

fn too_high(name: &str) -> Diagnostic {
    Diagnostic::new(format!(
        "rule `{}` is nested more than {MAX_HEIGHT} deep with the rules it refers to",
        name.escape_debug()
    ))
    .help("shorten the chain of rules")
}

fn cyclic(names: &[&str]) -> Diagnostic {
    let cycle = names.iter().chain(names.first());
    let cycle: Vec<_> = cycle
        .map(|name| format!("`{}`", name.escape_debug()))
        .collect();
    Diagnostic::new(format!(
        "rules refer to each other in a circle: {}",
        cycle.join(" -> ")
    ))
    .help("take one of the references out; one to a rule that does not exist asks `default`")
}

#[cfg(test)]
mod tests;
