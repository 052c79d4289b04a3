//! Small policies and validators as component text: one template, and a body for each behaviour.

const TEMPLATE: &str = include_str!("../guests/admission.wat");

/// The behaviour of a guest, as a policy or as a validator. As a policy it first logs `was asked`.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    /// Allows; reports no violations.
    Agrees,
    /// Denies for the reason `closed at night`; reports three violations of two kinds.
    Refuses,
    /// Returns an error of the kind `Broken`.
    Errs,
    /// Executes an instruction that traps.
    Traps,
    /// Never returns.
    Loops,
}

impl Asked {
    /// Returns the guest's component, as text.
    ///
    /// # Panics
    /// If the template lacks the markers.
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

/// Replaces the text between the markers of `function`.
fn put(text: &str, function: &str, body: &str) -> String {
    let (before, rest) = text
        .split_once(&format!(";; <{function}>"))
        .expect("the template has a first marker");
    let (_, after) = rest
        .split_once(&format!(";; </{function}>"))
        .expect("the template has a second marker");
    format!("{before}{body}\n{after}")
}
