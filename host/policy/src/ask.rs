//! Rules that ask plugins, written `wasm:NAME`.

use std::collections::BTreeSet;

use cairn_model::error::Diagnostic;
use cairn_model::value::Object;

use super::eval::Evaluation;
use super::{ADMIN_RULE, Credentials, Policy};

/// The answer of a plugin to a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginAnswer {
    /// It allows the action.
    Allows,
    /// It denies the action, for this reason.
    Denies(String),
    /// It trapped, was late, returned an error, or does not exist; the whole question is denied.
    Fails(String),
}

/// Asks plugins on behalf of a caller.
pub trait Asks {
    /// Asks the plugin whether it allows `action` on `target`.
    fn ask(&self, plugin: &str, action: &str, target: &Object) -> PluginAnswer;
}

/// A set without plugins: a rule that asks one denies.
pub struct NoPlugins;

impl Asks for NoPlugins {
    fn ask(&self, _plugin: &str, _action: &str, _target: &Object) -> PluginAnswer {
        PluginAnswer::Fails("there is no flow whose manifest could name it".to_owned())
    }
}

/// The decision of a policy on one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Whether the caller may do it.
    pub allowed: bool,
    /// The plugins that were asked and did not allow it, each with its reason or error.
    pub refusals: Vec<(String, String)>,
}

impl Policy {
    /// Decides whether the caller may do `action` to `target`; rules may ask plugins. Otherwise as [`check`](Self::check).
    pub fn decide(
        &self,
        action: &str,
        credentials: &Credentials<'_>,
        target: &Object,
        plugins: &dyn Asks,
    ) -> Ruling {
        let Some((_, rule)) = self.resolve(action) else {
            return Ruling {
                allowed: false,
                refusals: Vec::new(),
            };
        };
        let mut evaluation = Evaluation::new(self, action, *credentials, target, plugins);
        let allowed = evaluation.passes(rule) && !evaluation.has_failed();
        let refusals = evaluation
            .refusals()
            .filter_map(|(plugin, answer)| match answer {
                PluginAnswer::Allows => None,
                PluginAnswer::Denies(reason) | PluginAnswer::Fails(reason) => {
                    Some((plugin.to_owned(), reason))
                }
            });
        Ruling {
            allowed,
            refusals: refusals.collect(),
        }
    }

    /// Returns the plugins that may be asked about `action`, by any rule that helps to decide it.
    pub fn plugins_of(&self, action: &str) -> BTreeSet<&str> {
        let mut plugins = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut rest = vec![action];
        while let Some(name) = rest.pop() {
            let Some((name, rule)) = self.resolve(name) else {
                continue;
            };
            if seen.insert(name) {
                plugins.extend(rule.plugins());
                rest.extend(rule.references());
            }
        }
        plugins
    }

    /// Returns the plugins that any rule asks.
    pub fn plugins(&self) -> BTreeSet<&str> {
        let rules = self.rules.values();
        rules.flat_map(|rule| rule.plugins()).collect()
    }

    /// Refuses a rule for admins that asks a plugin.
    pub(super) fn check_admin(&self) -> Result<(), Diagnostic> {
        if !self.rules.contains_key(ADMIN_RULE) {
            return Ok(());
        }
        match self.plugins_of(ADMIN_RULE).first() {
            None => Ok(()),
            Some(plugin) => Err(Diagnostic::new(format!(
                "rule `{ADMIN_RULE}` asks the plugin `{plugin}`, and is asked where there is no flow"
            ))
            .help("decide by roles alone who is an admin; ask the plugin in the rules of actions")),
        }
    }
}
