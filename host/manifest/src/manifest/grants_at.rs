//! The place of a plugin's grants in a manifest, and the text to add there for another grant.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Grant, GrantKinds, PluginEntry};

/// The place of a plugin's grants in the manifest. Lines are counted from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantsAt {
    /// The form of the grants.
    pub form: GrantsForm,
    /// Explicitly withheld capabilities, with their lines.
    pub withheld: BTreeMap<String, usize>,
}

/// How the grants of a plugin are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantsForm {
    /// In a table whose header `[plugins.KEY.grants]` is on this line.
    Table(usize),
    /// As a value, on this line.
    Value(usize),
    /// Missing, in a plugin's table whose header is on this line.
    Absent(usize),
    /// Missing, in a plugin's table without a header.
    #[default]
    Elsewhere,
}

impl PluginEntry {
    /// Returns the lines of a help text: what to add to the manifest, and where, so that the plugin `key` is granted `missing`
    /// too.
    pub(crate) fn how_to_grant(
        &self,
        key: &str,
        missing: &[&str],
        kinds: &GrantKinds,
    ) -> Vec<String> {
        let line = |text: &str| format!("  {text}");
        let grant = |capability: &str| format!("{capability} = true");
        let (withheld, absent): (Vec<&str>, Vec<&str>) = missing
            .iter()
            .copied()
            .partition(|one| self.grants_at.withheld.contains_key(*one));
        let mut steps = Vec::new();
        for capability in withheld {
            let at = self.grants_at.withheld[capability];
            steps.push(vec![
                format!("change line {at} to:"),
                line(&grant(capability)),
            ]);
        }
        let whole = || {
            let mut all = self.grants.clone();
            for one in missing {
                all.insert(one, Grant::all(), kinds);
            }
            line(&format!("grants = {all}"))
        };
        match self.grants_at.form {
            GrantsForm::Table(at) if !absent.is_empty() => {
                let this = if absent.len() == 1 {
                    "this line"
                } else {
                    "these lines"
                };
                let mut step = vec![format!(
                    "add {this} below line {at}, [plugins.{key}.grants]:"
                )];
                step.extend(absent.iter().map(|one| line(&grant(one))));
                steps.push(step);
            }
            GrantsForm::Table(_) => {}
            GrantsForm::Absent(at) => steps.push(vec![
                format!("add this line below line {at}, [plugins.{key}]:"),
                whole(),
            ]),
            GrantsForm::Value(at) => {
                steps = vec![vec![format!("write the grants on line {at} as:"), whole()]];
            }
            GrantsForm::Elsewhere => {
                steps.push(vec![format!("add this to the plugin `{key}`:"), whole()]);
            }
        }
        for step in steps.iter_mut().skip(1) {
            step[0].insert_str(0, "and ");
        }
        steps.concat()
    }
}
