//! A question to a policy or a validator, as a flow asks it before its first task.

use std::sync::Arc;
use std::time::Duration;

use cairn::admission::{Admission, Decision, Violation};
use cairn::capability::Surroundings;
use cairn::error::{Diagnostic, TaskError};
use cairn::event::LogLevel;
use cairn::host::Planner;
use cairn::plan::Role;
use cairn::value::Value;
use cairn::{Manifest, Plan};

use crate::case::{PolicyCase, Requester, ValidatorCase, Varies, told_error};
use crate::error::LawsError;
use crate::manifest;
use crate::state::BEGINNING;
use crate::subject::{Subject, Tools};
use crate::unexpected::{self, Unexpected};

/// How much later another time is: a day and something.
const LATER: Duration = Duration::from_secs(100_000);

/// What is other than usual when a question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Otherwise {
    /// Nothing.
    Nothing,
    /// What the clock says.
    Time,
    /// Random numbers.
    Randomness,
    /// Who asks.
    Requester,
}

/// A case's question, and whom it is asked.
pub(crate) trait Question {
    type Response: PartialEq;

    /// Asks it, in a fresh instance.
    fn ask(&self, otherwise: Otherwise) -> Result<Self::Response, LawsError>;

    /// What may be otherwise while the answer must not be.
    fn must_not_matter(&self) -> Vec<Otherwise>;

    /// What is not as the case expects.
    fn unexpected(&self, answer: &Self::Response) -> Option<Unexpected>;

    /// The answer, on one line.
    fn show(answer: &Self::Response) -> String;
}

/// The plan of a case, from which whoever is asked is made anew each time.
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

    /// Who is asked, in surroundings that are always the same, but for what is otherwise.
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

/// The manifest of a case names it, so the plan does.
fn nobody() -> Diagnostic {
    Diagnostic::new("the plan of this case asks nobody")
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
        let policy = admission.policies().next().ok_or_else(nobody)?;
        let requester = self.case.requester.identity();
        // It is the requester's own unless the case says otherwise, as whoever asks a rule may.
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
        // A validator is not told what the flow is about to do.
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
        let validator = admission.validators().next().ok_or_else(nobody)?;
        let requester = match otherwise {
            Otherwise::Requester => somebody_else(),
            _ => Requester::default(),
        };
        let inputs = Value::Object(self.case.inputs.clone());
        let answer = validator.validate(&requester.identity(), &inputs, &mut ignored);
        Ok(answer.map_err(without_log))
    }

    /// The contract: the inputs and the settings, and nothing else.
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

/// What is logged is no part of an answer.
fn ignored(_level: LogLevel, _message: String) {}

/// The same of an error.
fn without_log(error: TaskError) -> TaskError {
    TaskError {
        log: Vec::new(),
        ..error
    }
}

/// Of whom everything is other than of the usual requester.
fn somebody_else() -> Requester {
    Requester {
        user: "other".to_owned(),
        project: "other".to_owned(),
        roles: vec!["other".to_owned()],
        admin: true,
        quota_class: Some("other".to_owned()),
    }
}
