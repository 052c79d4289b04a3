//! Runs the cases of a plugin.

use serde::Serialize;

use crate::case::{Case, TaskCase};
use crate::error::LawsError;
use crate::law::{self, Broken, Law};
use crate::question::{Otherwise, PolicyQuestion, Question, ValidatorQuestion};
use crate::scene::{Experiment, Scene};
use crate::subject::{Subject, Tools};
use crate::unexpected::Unexpected;

/// What came of all cases.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tested {
    /// The cases, in order.
    pub cases: Vec<Checked>,
}

impl Tested {
    /// Whether every case came out as it should.
    pub fn is_ok(&self) -> bool {
        self.cases.iter().all(Checked::is_ok)
    }
}

/// What came of one case.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checked {
    /// Its name.
    pub case: String,
    /// What came of it in place of what is expected.
    pub unexpected: Option<Unexpected>,
    /// The laws that were tried: those of its kind.
    pub laws: Vec<Law>,
    /// Those that were broken.
    pub broken: Vec<Broken>,
}

impl Checked {
    /// Whether it came out as it should.
    pub fn is_ok(&self) -> bool {
        self.unexpected.is_none() && self.broken.is_empty()
    }
}

/// Runs each case once, and holds what came of it to what is expected; and then tries those of the laws on it that are for
/// plugins of its kind.
///
/// # Errors
/// When a case cannot be run: it does not fit its plugin, or the host itself fails.
pub fn test(
    tools: &Tools,
    subject: &Subject,
    cases: &[Case],
    laws: &[Law],
) -> Result<Tested, LawsError> {
    let cases = cases.iter().map(|case| {
        let laws = laws.iter().copied();
        let laws: Vec<Law> = laws.filter(|law| law.is_for(case.role())).collect();
        let (unexpected, broken) = match case {
            Case::Task(case) => run(tools, subject, case, &laws)?,
            Case::Policy(case) => ask(&PolicyQuestion::new(tools, subject, case)?, &laws)?,
            Case::Validator(case) => ask(&ValidatorQuestion::new(tools, subject, case)?, &laws)?,
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

/// What is wrong with a plugin by one case.
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

fn ask(question: &impl Question, laws: &[Law]) -> Result<Found, LawsError> {
    let usual = question.ask(Otherwise::Nothing)?;
    let broken = match laws.contains(&Law::SameAnswer) {
        true => law::same_answer(question, &usual)?,
        false => None,
    };
    Ok((question.unexpected(&usual), broken.into_iter().collect()))
}
