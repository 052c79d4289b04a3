//! Compares the policy language with the decisions of oslo.policy that `tests/oslo/record.py` recorded.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use acceptance::program::repository;
use cairn::policy::{Credentials, NoPlugins, Policy};
use cairn::{Object, Value};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    source: BTreeMap<String, Value>,
    callers: Vec<Caller>,
    targets: Vec<Object>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Caller {
    user_id: String,
    project_id: String,
    roles: Vec<String>,
    is_admin: bool,
    quota_class: Option<String>,
}

/// One policy and the questions to it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// The purpose of the case.
    group: String,
    /// The rules, or the text of a file.
    rules: Option<Value>,
    yaml: Option<String>,
    /// The action; `act` by default.
    ask: Option<String>,
    /// How oslo.policy failed to load the rules: `unread`, the class of an exception, or `tab` if it loads them with spaces instead of
    /// tabs.
    load: Option<String>,
    /// The reason why rules that oslo.policy loads are refused here.
    refused: Option<String>,
    /// Caller, target, and the decision: 0, 1, or the class of an exception.
    #[serde(default)]
    asks: Vec<(usize, usize, Value)>,
}

/// Rules that the engine refuses on purpose, each with a part of its message. The keys are those of `record.py`.
const REFUSED: [(&str, &[&str]); 9] = [
    (
        "no rule",
        &["` is ", "holds something that is n", "the tag `!`"],
    ),
    ("kind", &["which this version does not offer"]),
    (
        "left side",
        &[
            "before a colon, which",
            "nothing before its colon",
            "a string that is not closed",
        ],
    ),
    ("path", &[" is text"]),
    ("percent", &["has a `%` that begins no `%(name)s`"]),
    ("circle", &["in a circle"]),
    ("tag", &["has the tag `tag:"]),
    ("merge", &["`<<` merges nothing"]),
    ("twice", &["stands twice"]),
];

/// The minimal number of vectors in each category, so that a truncated file does not pass.
const AT_LEAST: [(&str, usize); 5] = [
    ("allowed there and here", 2_000),
    ("denied there and here", 10_000),
    ("not read there, an error here", 400),
    ("not loaded there, an error here", 10),
    ("refused here on purpose: circle", 200),
];

impl Case {
    fn policy(&self) -> Result<Policy, String> {
        let policy = match (&self.rules, &self.yaml) {
            (Some(rules), None) => Policy::parse(&rules.to_string(), None),
            (None, Some(text)) => Policy::parse(text, Some(Path::new("policy.yaml"))),
            _ => panic!("a case has rules or a text"),
        };
        policy.map_err(|error| error.to_string())
    }

    fn shown(&self) -> String {
        match (&self.rules, &self.yaml) {
            (Some(rules), _) => format!("[{}] {rules}", self.group),
            (None, text) => format!("[{}] {text:?}", self.group),
        }
    }
}

/// Counts by category, and the differences.
#[derive(Default)]
struct Tally {
    counts: BTreeMap<String, usize>,
    differences: Vec<String>,
}

impl Tally {
    fn count(&mut self, category: impl Into<String>) {
        *self.counts.entry(category.into()).or_default() += 1;
    }

    /// Asserts that a policy is refused, and that its error contains one of `pieces`.
    fn must_not_load(&mut self, case: &Case, category: String, pieces: &[&str]) {
        match case.policy() {
            Ok(_) => self
                .differences
                .push(format!("{}: {category}, but it loads", case.shown())),
            Err(error) if pieces.iter().any(|piece| error.contains(piece)) => self.count(category),
            Err(error) => self
                .differences
                .push(format!("{}: {category}, but: {error}", case.shown())),
        }
    }

    fn must_agree(&mut self, case: &Case, vectors: &Vectors) {
        let policy = match case.policy() {
            Ok(policy) => policy,
            Err(error) => {
                self.differences
                    .push(format!("{}: loads there; here {error}", case.shown()));
                return;
            }
        };
        let action = case.ask.as_deref().unwrap_or("act");
        for (caller, target, expected) in &case.asks {
            let caller = &vectors.callers[*caller];
            let target = &vectors.targets[*target];
            let credentials = Credentials {
                user_id: &caller.user_id,
                project_id: &caller.project_id,
                roles: &caller.roles,
                is_admin: caller.is_admin,
                quota_class: caller.quota_class.as_deref(),
            };
            let allowed = policy.check(action, &credentials, target);
            let explanation = policy.explain(action, &credentials, target, &NoPlugins);
            if *expected == u8::from(allowed) && explanation.allowed == allowed {
                let verdict = if allowed { "allowed" } else { "denied" };
                self.count(format!("{verdict} there and here"));
            } else {
                let shown = case.shown();
                self.differences
                    .push(format!("{shown}: {expected} there; here {explanation}"));
            }
        }
    }
}

#[test]
fn every_recorded_verdict_is_ours_too() {
    let text = fs::read_to_string(repository("tests/oslo/vectors.json")).unwrap();
    let vectors: Vectors = serde_json::from_str(&text).unwrap();
    let mut tally = Tally::default();
    for case in &vectors.cases {
        match (case.load.as_deref(), case.refused.as_deref()) {
            (Some("unread"), _) => {
                let category = "not read there, an error here".to_owned();
                tally.must_not_load(case, category, &["rule `"]);
            }
            (Some("tab"), None) => match case.policy() {
                Ok(_) => tally.must_agree(case, &vectors),
                Err(_) => tally.count("a tab: not loaded there, an error here"),
            },
            (Some(_), _) => {
                let category = "not loaded there, an error here".to_owned();
                tally.must_not_load(
                    case,
                    category,
                    &["rule `", "the policy is ", "the policy has "],
                );
            }
            (None, Some(why)) => {
                let (_, pieces) = REFUSED
                    .iter()
                    .find(|(name, _)| *name == why)
                    .unwrap_or_else(|| panic!("`{why}` is no reason to refuse a rule"));
                tally.must_not_load(case, format!("refused here on purpose: {why}"), pieces);
            }
            (None, None) => tally.must_agree(case, &vectors),
        }
    }

    // Not `println`, whose output is shown only for failed tests.
    let mut stdout = std::io::stdout().lock();
    let cases = vectors.cases.len();
    writeln!(stdout, "\n{cases} policies of {:?}", vectors.source).unwrap();
    for (category, count) in &tally.counts {
        writeln!(stdout, "{count:6} {category}").unwrap();
    }
    drop(stdout);
    let differ = tally.differences.len();
    tally.differences.truncate(40);
    assert_eq!(differ, 0, "differ:\n{}", tally.differences.join("\n"));
    for (category, least) in AT_LEAST {
        let count = tally.counts.get(category).copied().unwrap_or(0);
        assert!(count >= least, "{count} vectors are `{category}`");
    }
    for (why, _) in REFUSED {
        let category = format!("refused here on purpose: {why}");
        assert!(tally.counts.contains_key(&category), "{category}");
    }
}

#[test]
fn the_vectors_are_of_the_versions_that_the_requirements_name() {
    let vectors = fs::read_to_string(repository("tests/oslo/vectors.json")).unwrap();
    assert!(vectors.len() < 1_000_000, "{} bytes", vectors.len());
    let vectors: Vectors = serde_json::from_str(&vectors).unwrap();
    let requirements = fs::read_to_string(repository("tests/oslo/requirements.txt")).unwrap();
    for name in ["oslo.policy", "PyYAML"] {
        let version = vectors.source[name].as_str().unwrap();
        let line = format!("{name}=={version}");
        assert!(requirements.lines().any(|other| other == line), "{line}");
    }
}
