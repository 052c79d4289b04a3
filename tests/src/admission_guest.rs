//! Small policies and validators, as component text: one template, and a body for each behaviour.

const TEMPLATE: &str = include_str!("../guests/admission.wat");

/// What a guest does when it is asked, as a policy or as a validator. It has logged `was asked` by then, as a policy.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    /// Allows; finds nothing wrong.
    Agrees,
    /// Denies, for the reason `closed at night`; names three violations of two kinds.
    Refuses,
    /// Returns an error of the kind `Broken`.
    Errs,
    /// Executes an instruction that traps.
    Traps,
    /// Never answers.
    Loops,
}

impl Asked {
    /// The guest's component, as text.
    ///
    /// # Panics
    /// When the template lost its markers.
    pub fn component(self) -> String {
        let (check, validate) = match self {
            Self::Agrees => ("(i32.const 1024)", "(i32.const 1024)"),
            Self::Refuses => ("(call $deny)", "(call $three)"),
            Self::Errs => ("(call $fail)", "(call $fail)"),
            Self::Traps => ("unreachable", "unreachable"),
            Self::Loops => (
                "(loop $on (br $on)) unreachable",
                "(loop $on (br $on)) unreachable",
            ),
        };
        let text = put(TEMPLATE, "check", check);
        put(&text, "validate", validate)
    }
}

/// The text with another body between the markers of `function`.
fn put(text: &str, function: &str, body: &str) -> String {
    let (before, rest) = text
        .split_once(&format!(";; <{function}>"))
        .expect("the template has a first marker");
    let (_, after) = rest
        .split_once(&format!(";; </{function}>"))
        .expect("the template has a second marker");
    format!("{before}{body}\n{after}")
}
