//! Explains why a rule passes or fails, clause by clause.

use std::fmt;

use serde::Serialize;

use cairn_model::printable;
use cairn_model::value::Object;

use super::eval::{Comparison, Evaluation, Found};
use super::rule::{Check, Rule};
use super::{Asks, Credentials, PluginAnswer, Policy};

/// A policy's answer to one question, with reasons. Its `Display` is a tree for people, one clause per line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The question: an action, or the name of a rule.
    pub action: String,
    /// The name of the rule that decided: the action's own, or `default`; `None` if there is neither.
    pub rule: Option<String>,
    /// Whether the caller may do it.
    pub allowed: bool,
    /// The explained rule that decided.
    pub clause: Option<Clause>,
}

/// A rule, or a part of one, and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Clause {
    /// The clause in the canonical form of the language.
    pub text: String,
    /// Its result.
    pub verdict: ClauseResult,
    /// The reason, unless its parts give it.
    pub reason: Option<String>,
    /// The compared values; only for an evaluated check that compares.
    pub compared: Option<Compared>,
    /// Its parts in order: the operands of `and`, `or` and `not`, or the rule that it refers to. Clauses that were not needed
    /// are not expanded, and a rule that is referred to again is not repeated.
    pub parts: Vec<Self>,
}

/// The result of a clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClauseResult {
    /// It passes.
    Passes,
    /// It fails.
    Fails,
    /// Not evaluated: short-circuited.
    NotNeeded,
}

/// The two sides of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// The caller's values, or the literal; empty if the caller has none.
    pub left: Vec<String>,
    /// The match with the target's values filled in; `None` if the target lacks one.
    pub right: Option<String>,
}

impl Policy {
    /// Decides as [`Policy::decide`] does, with reasons.
    pub fn explain(
        &self,
        action: &str,
        credentials: &Credentials<'_>,
        target: &Object,
        plugins: &dyn Asks,
    ) -> Explanation {
        let mut evaluation = Evaluation::new(self, action, *credentials, target, plugins);
        let decided = self.resolve(action).map(|(name, rule)| {
            let clause = explain(&mut evaluation, rule);
            (name.to_owned(), clause)
        });
        let (rule, clause) = decided.unzip();
        Explanation {
            action: action.to_owned(),
            rule,
            allowed: clause.as_ref().is_some_and(Clause::passes),
            clause,
        }
    }
}

// The recursion is bounded like that of `Evaluation::passes`.
fn explain<'q>(evaluation: &mut Evaluation<'q>, rule: &'q Rule) -> Clause {
    let done = |passes, reason: Option<&str>, parts| Clause {
        text: rule.to_string(),
        verdict: ClauseResult::of(passes),
        reason: reason.map(str::to_owned),
        compared: None,
        parts,
    };
    match rule {
        Rule::Always => done(true, Some("always"), Vec::new()),
        Rule::Never => done(false, Some("always"), Vec::new()),
        Rule::All(parts) => {
            let parts = joined(evaluation, parts, false);
            done(parts.iter().all(Clause::passes), None, parts)
        }
        Rule::Any(parts) => {
            let parts = joined(evaluation, parts, true);
            // If a plugin failed, the part that asked it is the last one that was evaluated, and none passed.
            done(parts.iter().any(Clause::passes), None, parts)
        }
        Rule::Not(part) => {
            let part = explain(evaluation, part);
            let failed = evaluation.has_failed();
            let reason = failed.then_some("a plugin failed, so nothing passes");
            done(!part.passes() && !failed, reason, vec![part])
        }
        Rule::Check(Check::Rule(name)) => {
            let Some((own, rule)) = evaluation.resolve(name) else {
                return done(false, Some("there is no such rule"), Vec::new());
            };
            let is_own = own == name;
            if let Some(passes) = evaluation.known(own) {
                let reason = if is_own {
                    "as above"
                } else {
                    "there is no such rule: as `default` above"
                };
                return done(passes, Some(reason), Vec::new());
            }
            let part = explain(evaluation, rule);
            evaluation.remember(own, part.passes());
            let reason = (!is_own).then_some("there is no such rule: `default` decides");
            done(part.passes(), reason, vec![part])
        }
        Rule::Check(Check::Wasm(plugin)) => {
            let (passes, reason) = match evaluation.ask(plugin) {
                PluginAnswer::Allows => (true, format!("the plugin `{plugin}` allows it")),
                PluginAnswer::Denies(reason) => {
                    (false, format!("the plugin `{plugin}` denies it: {reason}"))
                }
                PluginAnswer::Fails(error) => (
                    false,
                    format!("the plugin `{plugin}` failed, which denies the whole: {error}"),
                ),
            };
            done(passes, Some(&reason), Vec::new())
        }
        Rule::Check(check) => {
            let comparison = evaluation.compare(check);
            Clause {
                reason: Some(reason(check, &comparison)),
                compared: Some(Compared {
                    left: comparison.found.values().map(str::to_owned).collect(),
                    right: comparison.expected.ok(),
                }),
                ..done(comparison.passes, None, Vec::new())
            }
        }
    }
}

/// Explains parts up to the first whose result is `decides`, which settles the whole.
fn joined<'q>(evaluation: &mut Evaluation<'q>, parts: &'q [Rule], decides: bool) -> Vec<Clause> {
    let mut decided = false;
    let explained = parts.iter().map(|part| {
        if decided {
            return Clause {
                text: part.to_string(),
                verdict: ClauseResult::NotNeeded,
                reason: None,
                compared: None,
                parts: Vec::new(),
            };
        }
        let clause = explain(evaluation, part);
        decided = clause.passes() == decides || evaluation.has_failed();
        clause
    });
    explained.collect()
}

/// Describes the compared values.
fn reason(check: &Check, comparison: &Comparison<'_>) -> String {
    let (left, expected) = match check {
        Check::Rule(_) | Check::Wasm(_) => return String::new(),
        Check::Role(expected) => match comparison.found {
            Found::Nothing | Found::Many([]) => ("the caller has no roles".to_owned(), expected),
            found => (
                format!("the caller's roles are {}", listed(found)),
                expected,
            ),
        },
        Check::Literal { expected, .. } => (
            format!("the literal is {}", listed(comparison.found)),
            expected,
        ),
        Check::Credential { name, expected } => match comparison.found {
            Found::Nothing => (format!("the caller has no attribute `{name}`"), expected),
            Found::Many([]) => (format!("the caller's `{name}` is an empty list"), expected),
            Found::One(value) => (format!("the caller's `{name}` is `{value}`"), expected),
            found @ Found::Many(_) => (
                format!("the caller's `{name}` are {}", listed(found)),
                expected,
            ),
        },
    };
    match &comparison.expected {
        Err(missing) => format!("{left}; the target has no `{missing}`"),
        Ok(filled) if expected.is_plain() => format!("{left}; asked for is `{filled}`"),
        Ok(filled) => format!("{left}; `{expected}` is `{filled}`"),
    }
}

fn listed(found: Found<'_>) -> String {
    let values: Vec<_> = found.values().map(|value| format!("`{value}`")).collect();
    values.join(", ")
}

impl ClauseResult {
    const fn of(passes: bool) -> Self {
        if passes { Self::Passes } else { Self::Fails }
    }
}

impl Clause {
    fn passes(&self) -> bool {
        self.verdict == ClauseResult::Passes
    }

    fn write(&self, indent: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = printable::line(&self.text);
        write!(f, "\n{:indent$}{}: {text}", "", self.verdict)?;
        if let Some(reason) = &self.reason {
            write!(f, " ({})", printable::line(reason))?;
        }
        self.parts
            .iter()
            .try_for_each(|part| part.write(indent + 2, f))
    }
}

impl fmt::Display for ClauseResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passes => "passes",
            Self::Fails => "fails",
            Self::NotNeeded => "not needed",
        })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = printable::line(&self.action);
        let verdict = if self.allowed { "allowed" } else { "denied" };
        match &self.rule {
            None => write!(
                f,
                "{verdict}: there is no rule `{action}`, and no `default`"
            )?,
            Some(rule) if *rule == self.action => write!(f, "{verdict}: `{action}`")?,
            Some(_) => write!(f, "{verdict}: `{action}` has no rule: `default` decides")?,
        }
        self.clause.iter().try_for_each(|clause| clause.write(2, f))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoPlugins;
    use cairn_model::value::Value;
    use serde_json::json;

    #[track_caller]
    fn explained(rules: Value, roles: &[&str], target: Value) -> Explanation {
        let policy = Policy::parse(&rules.to_string(), None).unwrap();
        let roles: Vec<String> = roles.iter().map(|&role| role.to_owned()).collect();
        let caller = Credentials {
            user_id: "u",
            project_id: "p",
            roles: &roles,
            ..Credentials::default()
        };
        let target = target.as_object().expect("an object");
        policy.explain("act", &caller, target, &NoPlugins)
    }

    #[test]
    fn every_clause_has_its_verdict_and_its_reason() {
        let rules = json!({
            "act": "rule:admin or not (role:x and role:y) and rule:admin and @ or !",
            "admin": "is_admin:True or domain:d or project_id:%(project.id)s",
        });
        let explained = explained(rules, &["x", "z"], json!({"project": {"id": "q\n"}}));
        assert_eq!(
            explained.to_string(),
            "\
denied: `act`
  fails: rule:admin or (not (role:x and role:y) and rule:admin and @) or !
    fails: rule:admin
      fails: is_admin:True or domain:d or project_id:%(project.id)s
        fails: is_admin:True (the caller's `is_admin` is `False`; asked for is `True`)
        fails: domain:d (the caller has no attribute `domain`; asked for is `d`)
        fails: project_id:%(project.id)s (the caller's `project_id` is `p`; `%(project.id)s` is `q\\n`)
    fails: not (role:x and role:y) and rule:admin and @
      passes: not (role:x and role:y)
        fails: role:x and role:y
          passes: role:x (the caller's roles are `x`, `z`; asked for is `x`)
          fails: role:y (the caller's roles are `x`, `z`; asked for is `y`)
      fails: rule:admin (as above)
      not needed: @
    fails: ! (always)"
        );
    }

    #[test]
    fn a_rule_that_is_not_there_says_who_decides() {
        let rules = json!({"act": "rule:no or rule:nor", "default": "'x':%(y)s"});
        assert_eq!(
            explained(rules, &[], json!({})).to_string(),
            "\
denied: `act`
  fails: rule:no or rule:nor
    fails: rule:no (there is no such rule: `default` decides)
      fails: 'x':%(y)s (the literal is `x`; the target has no `y`)
    fails: rule:nor (there is no such rule: as `default` above)"
        );
        assert_eq!(
            explained(json!({"default": "role:%(y)s"}), &[], json!({"y": 1})).to_string(),
            "denied: `act` has no rule: `default` decides\n  fails: role:%(y)s (the caller has no roles; `%(y)s` is `1`)"
        );
        let none = explained(json!({}), &[], json!({}));
        assert_eq!(
            none.to_string(),
            "denied: there is no rule `act`, and no `default`"
        );
        assert_eq!((none.rule, none.clause), (None, None));
    }

    #[test]
    fn the_same_tree_is_json() {
        let explained = explained(
            json!({"act": "roles:%(r)s or role:x"}),
            &["a", "b"],
            json!({"r": "b"}),
        );
        assert_eq!(
            serde_json::to_value(explained).unwrap(),
            json!({
                "action": "act", "rule": "act", "allowed": true,
                "clause": {
                    "text": "roles:%(r)s or role:x", "verdict": "passes", "reason": null, "compared": null,
                    "parts": [
                        {
                            "text": "roles:%(r)s", "verdict": "passes",
                            "reason": "the caller's `roles` are `a`, `b`; `%(r)s` is `b`",
                            "compared": {"left": ["a", "b"], "right": "b"}, "parts": [],
                        },
                        {"text": "role:x", "verdict": "not_needed", "reason": null, "compared": null, "parts": []},
                    ],
                },
            })
        );
    }

    #[test]
    fn rules_that_name_others_twice_make_no_exponential_tree() {
        let mut rules = Object::new();
        for link in 0..60 {
            let next = link + 1;
            rules.insert(
                format!("r{link}"),
                json!(format!(
                    "rule:r{next} and not rule:no{link} and rule:r{next}"
                )),
            );
        }
        rules.insert("r60".into(), json!("@"));
        rules.insert("act".into(), json!("rule:r0"));
        rules.insert("default".into(), json!("!"));
        let text = explained(Value::Object(rules), &[], json!({})).to_string();
        assert!(
            text.starts_with("allowed") && text.lines().count() < 400,
            "{text}"
        );
    }
}
