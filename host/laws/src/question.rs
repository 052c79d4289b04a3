//! Asks a policy or a validator, as an admission check before a flow's first task does.

use std::sync::Arc;
use std::time::Duration;

use cairn::admission::{Admission, Decision, Violation};
use cairn::capability::Surroundings;
use cairn::event::LogLevel;
use cairn::host::Planner;
use cairn::plan::Role;
use cairn::{Diagnostic, Manifest, Plan, TaskError, Value};

use crate::case::{PolicyCase, Requester, ValidatorCase, Varies, told_error};
use crate::error::LawsError;
use crate::manifest;
use crate::state::BEGINNING;
use crate::subject::{Subject, Tools};
use crate::unexpected::{self, Unexpected};

/// The time by which the clock is moved: more than a day.
const LATER: Duration = Duration::from_secs(100_000);

/// A change of the surroundings in which a question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Otherwise {
    /// Nothing.
    Nothing,
    /// The clock.
    Time,
    /// Random numbers.
    Randomness,
    /// The requester.
    Requester,
}

/// The question of a case, with the plugin that answers it.
pub(crate) trait Question {
    type Response: PartialEq;

    /// Asks the question, in a fresh instance.
    fn ask(&self, otherwise: Otherwise) -> Result<Self::Response, LawsError>;

    /// Returns the changes that must not affect the answer.
    fn must_not_matter(&self) -> Vec<Otherwise>;

    /// Compares the answer with the case's expectation.
    fn unexpected(&self, answer: &Self::Response) -> Option<Unexpected>;

    /// Returns the answer on one line.
    fn show(answer: &Self::Response) -> String;
}

/// The plan of a case, from which a fresh policy or validator is made for each question.
struct Asked {
    planner: Planner,
    plan: Plan,
}

impl Asked {
    fn new(tools: &Tools, manifest: &Manifest) -> Result<Self, LawsError> {
        let planner = Planner::new(Arc::clone(&tools.plugins), &tools.builtins);
        let plan = planner.plan(manifest)?;
        Ok(Self { planner, plan })
    }

    /// Makes the policy or validator, in fixed surroundings except for one change.
    fn admission(
        &self,
        now: Option<Duration>,
        otherwise: Otherwise,
    ) -> Result<Admission, LawsError> {
        let now = now.unwrap_or(Duration::from_micros(BEGINNING.unsigned_abs()));
        let surroundings = Surroundings {
            now: match otherwise {
                Otherwise::Time => now.saturating_add(LATER),
                _ => now,
            },
            seed: match otherwise {
                Otherwise::Randomness => 2,
                _ => 1,
            },
        };
        Ok(self.planner.admission(&self.plan, surroundings)?)
    }
}

/// Makes the error of a plan without the check. Does not occur, because the case's manifest names it.
fn not_in_plan() -> Diagnostic {
    Diagnostic::new("the plan of this case has no policy or validator")
}

/// A question to a policy.
pub(crate) struct PolicyQuestion<'a> {
    case: &'a PolicyCase,
    asked: Asked,
}

impl<'a> PolicyQuestion<'a> {
    pub(crate) fn new(
        tools: &Tools,
        subject: &Subject,
        case: &'a PolicyCase,
    ) -> Result<Self, LawsError> {
        let (action, settings) = (&case.action, &case.settings);
        let asked = manifest::of_check(tools, subject, Role::Policy, action, settings, &case.file)
            .and_then(|manifest| Asked::new(tools, &manifest))
            .map_err(|error| told_error(&case.name, &case.file, error))?;
        Ok(Self { case, asked })
    }
}

impl Question for PolicyQuestion<'_> {
    type Response = Result<Decision, TaskError>;

    fn ask(&self, otherwise: Otherwise) -> Result<Self::Response, LawsError> {
        let admission = self.asked.admission(self.case.now, otherwise)?;
        let policy = admission.policies().next().ok_or_else(not_in_plan)?;
        let requester = self.case.requester.identity();
        // The target is the requester's own unless the case names others, as in the evaluation of rules.
        let mut target = self.case.target.clone();
        for (key, own) in [
            ("project_id", &requester.project_id),
            ("user_id", &requester.user_id),
        ] {
            target.entry(key).or_insert_with(|| own.as_str().into());
        }
        let answer = policy.check(&requester, &self.case.action, &target, &mut ignored);
        Ok(answer.map_err(without_log))
    }

    fn must_not_matter(&self) -> Vec<Otherwise> {
        let mut others = vec![Otherwise::Nothing];
        for (varies, otherwise) in [
            (Varies::Clock, Otherwise::Time),
            (Varies::Randomness, Otherwise::Randomness),
        ] {
            if !self.case.varies_with.contains(&varies) {
                others.push(otherwise);
            }
        }
        others
    }

    fn unexpected(&self, answer: &Self::Response) -> Option<Unexpected> {
        Unexpected::decision(&self.case.expect, answer)
    }

    fn show(answer: &Self::Response) -> String {
        unexpected::decision(answer)
    }
}

/// A question to a validator.
pub(crate) struct ValidatorQuestion<'a> {
    case: &'a ValidatorCase,
    asked: Asked,
}

impl<'a> ValidatorQuestion<'a> {
    pub(crate) fn new(
        tools: &Tools,
        subject: &Subject,
        case: &'a ValidatorCase,
    ) -> Result<Self, LawsError> {
        // A validator does not receive the action, so any will do.
        let (action, settings) = ("case:check", &case.settings);
        let asked = manifest::of_check(
            tools,
            subject,
            Role::Validator,
            action,
            settings,
            &case.file,
        )
        .and_then(|manifest| Asked::new(tools, &manifest))
        .map_err(|error| told_error(&case.name, &case.file, error))?;
        Ok(Self { case, asked })
    }
}

impl Question for ValidatorQuestion<'_> {
    type Response = Result<Vec<Violation>, TaskError>;

    fn ask(&self, otherwise: Otherwise) -> Result<Self::Response, LawsError> {
        let admission = self.asked.admission(None, otherwise)?;
        let validator = admission.validators().next().ok_or_else(not_in_plan)?;
        let requester = match otherwise {
            Otherwise::Requester => different_requester(),
            _ => Requester::default(),
        };
        let inputs = Value::Object(self.case.inputs.clone());
        let answer = validator.validate(&requester.identity(), &inputs, &mut ignored);
        Ok(answer.map_err(without_log))
    }

    /// Returns all changes: by contract the answer depends only on the inputs and the settings.
    fn must_not_matter(&self) -> Vec<Otherwise> {
        vec![
            Otherwise::Nothing,
            Otherwise::Time,
            Otherwise::Randomness,
            Otherwise::Requester,
        ]
    }

    fn unexpected(&self, answer: &Self::Response) -> Option<Unexpected> {
        Unexpected::violations(&self.case.expect, answer)
    }

    fn show(answer: &Self::Response) -> String {
        unexpected::violations(answer).replace('\n', "; ")
    }
}

/// Discards a log message: it is not part of the answer.
fn ignored(_level: LogLevel, _message: String) {}

/// Removes the log from an error: it is not part of the answer.
fn without_log(error: TaskError) -> TaskError {
    TaskError {
        log: Vec::new(),
        ..error
    }
}

/// Returns a requester that differs from the usual one in every field.
fn different_requester() -> Requester {
    Requester {
        user: "other".to_owned(),
        project: "other".to_owned(),
        roles: vec!["other".to_owned()],
        admin: true,
        quota_class: Some("other".to_owned()),
    }
}
