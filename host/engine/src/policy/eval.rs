//! Whether a rule passes.

use std::collections::HashMap;

use super::rule::{Check, Part, Rule, Template};
use super::{Credentials, Policy};
use crate::value::{Object, Value};

/// One question to a policy. Every part of a rule may be asked about by itself, in any order.
pub(super) struct Evaluation<'q> {
    policy: &'q Policy,
    credentials: Credentials<'q>,
    target: &'q Object,
    /// Rules that were asked already: without it, rules that name others twice would take exponential time.
    known: HashMap<&'q str, bool>,
}

impl<'q> Evaluation<'q> {
    pub(super) fn new(
        policy: &'q Policy,
        credentials: Credentials<'q>,
        target: &'q Object,
    ) -> Self {
        Self {
            policy,
            credentials,
            target,
            known: HashMap::new(),
        }
    }

    // The recursion is bounded: `Policy` refuses rules that are too high, references followed, or that form a cycle.
    pub(super) fn passes(&mut self, rule: &'q Rule) -> bool {
        match rule {
            Rule::Always => true,
            Rule::Never => false,
            Rule::All(parts) => parts.iter().all(|part| self.passes(part)),
            Rule::Any(parts) => parts.iter().any(|part| self.passes(part)),
            Rule::Not(part) => !self.passes(part),
            Rule::Check(check) => self.check(check),
        }
    }

    fn check(&mut self, check: &'q Check) -> bool {
        match check {
            Check::Rule(name) => self.rule(name),
            Check::Role(role) => self.filled(role).is_some_and(|role| {
                let role = role.to_lowercase();
                self.credentials
                    .roles
                    .iter()
                    .any(|own| own.to_lowercase() == role)
            }),
            Check::Literal {
                value, expected, ..
            } => self
                .filled(expected)
                .is_some_and(|expected| expected == *value),
            Check::Credential { name, expected } => self
                .filled(expected)
                .is_some_and(|expected| self.credentials.has(name, &expected)),
        }
    }

    fn rule(&mut self, name: &'q str) -> bool {
        if let Some(&passed) = self.known.get(name) {
            return passed;
        }
        let policy = self.policy;
        let passed = policy.rules.get(name).is_some_and(|rule| self.passes(rule));
        self.known.insert(name, passed);
        passed
    }

    /// A template with the target's values in it; `None` when the target lacks one.
    fn filled(&self, template: &Template) -> Option<String> {
        template.0.iter().try_fold(String::new(), |mut text, part| {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Target(name) => text.push_str(&written(find(self.target, name)?)?),
            }
            Some(text)
        })
    }
}

/// A key of the target, else a path through its objects: `%(volume.project_id)s`.
fn find<'t>(target: &'t Object, name: &str) -> Option<&'t Value> {
    target.get(name).or_else(|| {
        let mut segments = name.split('.');
        let first = target.get(segments.next()?)?;
        segments.try_fold(first, |value, segment| value.as_object()?.get(segment))
    })
}

/// A value as Python writes it, which is how policy files write it. Lists and objects equal nothing.
fn written(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("None".to_owned()),
        Value::Bool(flag) => Some(boolean(*flag).to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

const fn boolean(flag: bool) -> &'static str {
    if flag { "True" } else { "False" }
}

impl Credentials<'_> {
    /// Whether the attribute `name` of the caller is `expected`, or one of its values is. `user` and `tenant` are the older
    /// names of `user_id` and `project_id`.
    fn has(&self, name: &str, expected: &str) -> bool {
        match name {
            "user_id" | "user" => self.user_id == expected,
            "project_id" | "tenant" => self.project_id == expected,
            "is_admin" => boolean(self.is_admin) == expected,
            "quota_class" => self.quota_class.unwrap_or("None") == expected,
            "roles" => self.roles.iter().any(|role| role == expected),
            _ => false,
        }
    }
}
