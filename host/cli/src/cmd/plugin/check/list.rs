//! The checklist of the contract, and the result of each item.

use cairn::plugin::PluginError;
use serde::Serialize;

use crate::output::printable;

/// The items, in order; after one that fails, the rest is not checked.
const ITEMS: [&str; 8] = [
    "component",
    "world",
    "imports",
    "schema",
    "settings",
    "description",
    "call",
    "revert",
];

/// One item and its result.
#[derive(Debug, PartialEq, Serialize)]
pub struct Item {
    check: &'static str,
    state: State,
    found: String,
    /// How to fix it.
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Passed,
    Failed,
    /// An earlier item failed.
    NotChecked,
}

/// The item that failed.
#[derive(Debug)]
pub struct Broken {
    item: &'static str,
    found: String,
    help: Option<String>,
}

impl Broken {
    pub fn new(item: &'static str, found: impl Into<String>) -> Self {
        Self {
            item,
            found: found.into(),
            help: None,
        }
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub fn by(item: &'static str, error: &PluginError) -> Self {
        Self {
            item,
            found: error.to_string(),
            help: error.help().map(str::to_owned),
        }
    }
}

/// The items that passed so far.
#[derive(Debug, Default)]
pub struct Checklist {
    passed: Vec<Item>,
}

impl Checklist {
    pub fn pass(&mut self, check: &'static str, found: impl Into<String>) {
        self.passed.push(Item {
            check,
            state: State::Passed,
            found: found.into(),
            help: None,
        });
    }

    /// Returns every item, in order.
    pub fn finish(mut self, broken: Option<Broken>) -> Vec<Item> {
        if let Some(broken) = broken {
            self.passed.push(Item {
                check: broken.item,
                state: State::Failed,
                found: broken.found,
                help: broken.help,
            });
        }
        let missing = ITEMS.into_iter().filter(|check| {
            let known = |item: &Item| item.check == *check;
            !self.passed.iter().any(known)
        });
        let missing: Vec<Item> = missing
            .map(|check| Item {
                check,
                state: State::NotChecked,
                found: String::new(),
                help: None,
            })
            .collect();
        self.passed.extend(missing);
        self.passed
            .sort_by_key(|item| ITEMS.iter().position(|check| *check == item.check));
        self.passed
    }
}

/// Formats the items, one per line.
pub fn text(items: &[Item]) -> String {
    let mut text = String::new();
    for item in items {
        let word = match item.state {
            State::Passed => "ok",
            State::Failed => "FAILED",
            State::NotChecked => "-",
        };
        text += format!("  {word:<8}{:<13}{}", item.check, printable(&item.found)).trim_end();
        text.push('\n');
        if let Some(help) = &item.help {
            text += &format!("{:23}help: {}\n", "", printable(help));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_a_broken_item_is_not_checked() {
        let mut list = Checklist::default();
        list.pass("component", "valid");
        list.pass("world", "task-plugin");
        let items = list.finish(Some(
            Broken::new("imports", "wasi:http").help("build it without"),
        ));
        let states: Vec<(&str, State)> =
            items.iter().map(|item| (item.check, item.state)).collect();
        assert_eq!(states[1], ("world", State::Passed));
        assert_eq!(states[2], ("imports", State::Failed));
        assert_eq!(
            states[3..]
                .iter()
                .filter(|(_, state)| *state == State::NotChecked)
                .count(),
            5
        );
        assert!(text(&items).contains("  FAILED  imports      wasi:http\n"));
    }
}
