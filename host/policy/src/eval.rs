//! Evaluates rules.

use std::collections::{BTreeMap, HashMap};

use cairn_model::value::{Object, Value};

use super::rule::{Check, Part, Rule, Template};
use super::{Asks, Credentials, PluginAnswer, Policy, python};

/// The evaluation of one question to a policy. Every part of a rule may be evaluated by itself, in any order.
///
/// After a plugin has failed, no rule passes, and the question is denied.
pub(super) struct Evaluation<'q> {
    policy: &'q Policy,
    action: &'q str,
    plugins: &'q dyn Asks,
    /// Answers of plugins: each is asked once.
    answers: BTreeMap<&'q str, PluginAnswer>,
    credentials: Credentials<'q>,
    target: &'q Object,
    /// Results of rules: without this cache, rules that refer to others twice would take exponential time.
    known: HashMap<&'q str, bool>,
}

/// The two sides of a check, and its result.
pub(super) struct Comparison<'q> {
    /// The caller's value, or the literal.
    pub(super) found: Found<'q>,
    /// The match with the target's values filled in, or the name of a value that the target lacks.
    pub(super) expected: Result<String, &'q str>,
    pub(super) passes: bool,
}

/// The left side of a check.
#[derive(Clone, Copy)]
pub(super) enum Found<'q> {
    /// The caller has no such attribute.
    Nothing,
    One(&'q str),
    Many(&'q [String]),
}

impl<'q> Evaluation<'q> {
    pub(super) fn new(
        policy: &'q Policy,
        action: &'q str,
        credentials: Credentials<'q>,
        target: &'q Object,
        plugins: &'q dyn Asks,
    ) -> Self {
        Self {
            policy,
            action,
            plugins,
            answers: BTreeMap::new(),
            credentials,
            target,
            known: HashMap::new(),
        }
    }

    // The recursion is bounded: `Policy` refuses cycles, and rules that are too deep with their references.
    pub(super) fn passes(&mut self, rule: &'q Rule) -> bool {
        match rule {
            Rule::Always => true,
            Rule::Never => false,
            Rule::All(parts) => parts.iter().all(|part| self.passes(part)),
            Rule::Any(parts) => parts
                .iter()
                .any(|part| !self.has_failed() && self.passes(part)),
            Rule::Not(part) => !self.passes(part) && !self.has_failed(),
            Rule::Check(Check::Rule(name)) => self.rule(name),
            Rule::Check(Check::Wasm(plugin)) => *self.ask(plugin) == PluginAnswer::Allows,
            Rule::Check(check) => self.compare(check).passes,
        }
    }

    fn rule(&mut self, name: &'q str) -> bool {
        let Some((name, rule)) = self.resolve(name) else {
            return false;
        };
        if let Some(passed) = self.known(name) {
            return passed;
        }
        let passed = self.passes(rule);
        self.remember(name, passed);
        passed
    }

    /// Returns the answer of a plugin, asking it the first time.
    pub(super) fn ask(&mut self, plugin: &'q str) -> &PluginAnswer {
        let (action, target, plugins) = (self.action, self.target, self.plugins);
        self.answers
            .entry(plugin)
            .or_insert_with(|| plugins.ask(plugin, action, target))
    }

    /// Returns whether a plugin failed, so that no rule passes any more.
    pub(super) fn has_failed(&self) -> bool {
        let mut answers = self.answers.values();
        answers.any(|answer| matches!(answer, PluginAnswer::Fails(_)))
    }

    /// Returns the answers of plugins that did not allow.
    pub(super) fn refusals(self) -> impl Iterator<Item = (&'q str, PluginAnswer)> {
        let answers = self.answers.into_iter();
        answers.filter(|(_, answer)| *answer != PluginAnswer::Allows)
    }

    /// Returns the rule that decides for `name`, and its name.
    pub(super) fn resolve(&self, name: &str) -> Option<(&'q str, &'q Rule)> {
        self.policy.resolve(name)
    }

    /// Returns the result of a rule that was evaluated already.
    pub(super) fn known(&self, name: &str) -> Option<bool> {
        self.known.get(name).copied()
    }

    pub(super) fn remember(&mut self, name: &'q str, passed: bool) {
        self.known.insert(name, passed);
    }

    /// Evaluates one check. References to rules and questions to plugins compare nothing, and fail here.
    pub(super) fn compare(&self, check: &'q Check) -> Comparison<'q> {
        let (found, expected) = match check {
            Check::Rule(_) | Check::Wasm(_) => (Found::Nothing, Ok(String::new())),
            Check::Role(role) => (Found::Many(self.credentials.roles), self.filled(role)),
            Check::Literal {
                value, expected, ..
            } => (Found::One(value), self.filled(expected)),
            Check::Credential { name, expected } => {
                (self.credentials.attribute(name), self.filled(expected))
            }
        };
        let passes = expected.as_ref().is_ok_and(|expected| match check {
            Check::Rule(_) | Check::Wasm(_) => false,
            Check::Role(_) => {
                let role = expected.to_lowercase();
                found.any(|own| own.to_lowercase() == role)
            }
            Check::Literal { .. } | Check::Credential { .. } => found.any(|own| own == expected),
        });
        Comparison {
            found,
            expected,
            passes,
        }
    }

    /// Fills the target's values into a template; returns the name of a value that the target lacks.
    fn filled(&self, template: &'q Template) -> Result<String, &'q str> {
        template.0.iter().try_fold(String::new(), |mut text, part| {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Target(name) => {
                    let value = find(self.target, name).ok_or(name.as_str())?;
                    text.push_str(&python::text(value));
                }
            }
            Ok(text)
        })
    }
}

impl<'q> Found<'q> {
    /// Returns all values.
    pub(super) fn values(self) -> impl Iterator<Item = &'q str> {
        let (one, many) = match self {
            Self::Nothing => (None, [].as_slice()),
            Self::One(value) => (Some(value), [].as_slice()),
            Self::Many(values) => (None, values),
        };
        one.into_iter().chain(many.iter().map(String::as_str))
    }

    fn any(self, is_it: impl Fn(&str) -> bool) -> bool {
        self.values().any(is_it)
    }
}

/// Returns the value of a key of the target, or else at a path through its objects, such as `volume.project_id`. Keys may
/// contain dots, and a path does not end at an object.
fn find<'t>(target: &'t Object, name: &str) -> Option<&'t Value> {
    target.get(name).or_else(|| below(target, name))
}

/// The recursion is bounded by the number of objects: each is at the end of one path, and so is visited once.
fn below<'t>(object: &'t Object, path: &str) -> Option<&'t Value> {
    path.match_indices('.').find_map(|(dot, _)| {
        let (key, rest) = (path.get(..dot)?, path.get(dot + 1..)?);
        let inner = object.get(key)?.as_object()?;
        let own = inner.get(rest).filter(|value| !value.is_object());
        own.or_else(|| below(inner, rest))
    })
}

impl<'a> Credentials<'a> {
    /// Returns the attribute `name` of the caller. `user` and `tenant` are the older names of `user_id` and `project_id`.
    fn attribute(&self, name: &str) -> Found<'a> {
        match name {
            "user_id" | "user" => Found::One(self.user_id),
            "project_id" | "tenant" => Found::One(self.project_id),
            "is_admin" => Found::One(python::boolean(self.is_admin)),
            "quota_class" => Found::One(self.quota_class.unwrap_or("None")),
            "roles" => Found::Many(self.roles),
            _ => Found::Nothing,
        }
    }
}
