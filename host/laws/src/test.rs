//! Runs the cases of a plugin.

use serde::Serialize;

use crate::backend::Backend;
use crate::case::{Case, ExternalCase, TaskCase};
use crate::error::LawsError;
use crate::law::{self, Broken, Law};
use crate::promises;
use crate::question::{Otherwise, PolicyQuestion, Question, ValidatorQuestion};
use crate::scene::{Experiment, Scene};
use crate::subject::{Subject, Tools};
use crate::unexpected::Unexpected;

/// The outcomes of all cases.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tested {
    /// The cases, in order.
    pub cases: Vec<Checked>,
}

impl Tested {
    /// Returns whether all cases passed.
    pub fn is_ok(&self) -> bool {
        self.cases.iter().all(Checked::is_ok)
    }
}

/// The outcome of a case.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checked {
    /// Its name.
    pub case: String,
    /// The expected and the found outcome, if they differ.
    pub unexpected: Option<Unexpected>,
    /// The laws that were tried.
    pub laws: Vec<Law>,
    /// The laws that were broken.
    pub broken: Vec<Broken>,
}

impl Checked {
    /// Returns whether it passed.
    pub fn is_ok(&self) -> bool {
        self.unexpected.is_none() && self.broken.is_empty()
    }
}

/// Runs each case once, compares the outcome with the expected one, and tries those laws on it that apply to plugins of its role.
///
/// # Errors
/// When a case cannot be run: it does not match its plugin, or the host itself fails.
pub fn test(
    tools: &Tools,
    subject: &Subject,
    cases: &[Case],
    laws: &[Law],
) -> Result<Tested, LawsError> {
    let cases = cases.iter().map(|case| {
        let laws = laws.iter().copied();
        let mut laws: Vec<Law> = laws.filter(|law| law.is_for(case.role())).collect();
        let (unexpected, broken) = match case {
            Case::Task(case) => run(tools, subject, case, &laws)?,
            Case::Policy(case) => ask(&PolicyQuestion::new(tools, subject, case)?, &laws)?,
            Case::Validator(case) => ask(&ValidatorQuestion::new(tools, subject, case)?, &laws)?,
            Case::External(case) => act(tools, subject, case, &mut laws)?,
        };
        Ok(Checked {
            case: case.name().to_owned(),
            unexpected,
            laws,
            broken,
        })
    });
    Ok(Tested {
        cases: cases.collect::<Result<_, LawsError>>()?,
    })
}

/// The faults that one case found in a plugin.
type Found = (Option<Unexpected>, Vec<Broken>);

fn run(
    tools: &Tools,
    subject: &Subject,
    case: &TaskCase,
    laws: &[Law],
) -> Result<Found, LawsError> {
    let scene = Scene::new(tools, subject, case)?;
    let usual = scene.run(&Experiment::default())?;
    let mut broken = Vec::new();
    for law in laws {
        broken.extend(law::check(*law, &scene, case, &usual)?);
    }
    let unexpected = Unexpected::result(&case.expect, usual.seen.result.as_ref());
    Ok((unexpected, broken))
}

/// Makes the object of a case, and tries the laws on others; none if that object is not made as expected.
fn act(
    tools: &Tools,
    subject: &Subject,
    case: &ExternalCase,
    laws: &mut Vec<Law>,
) -> Result<Found, LawsError> {
    let backend = Backend::new(tools, subject, case)?;
    let unexpected = promises::unexpected(&backend);
    if unexpected.is_some() {
        laws.clear();
    }
    let broken = laws
        .iter()
        .filter_map(|law| promises::check(*law, &backend));
    Ok((unexpected, broken.collect()))
}

fn ask(question: &impl Question, laws: &[Law]) -> Result<Found, LawsError> {
    let usual = question.ask(Otherwise::Nothing)?;
    let broken = match laws.contains(&Law::SameAnswer) {
        true => law::same_answer(question, &usual)?,
        false => None,
    };
    Ok((question.unexpected(&usual), broken.into_iter().collect()))
}
