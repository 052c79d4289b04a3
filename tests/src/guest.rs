//! Small misbehaving plugins as component text: one template, and a body of `call` for each behaviour.

const TEMPLATE: &str = include_str!("../guests/task.wat");

/// The behaviour of a guest's `call`. Each guest provides `text`.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    /// Returns the expected result.
    Behaves,
    /// Executes an instruction that traps.
    Traps,
    /// Returns text that is not JSON.
    ReturnsNoJson,
    /// Returns an object with a number that does not fit in 64 bits.
    ReturnsABigNumber,
    /// Returns an object without `text`.
    LacksAName,
    /// Returns the expected result, one second later.
    TakesASecond,
    /// Returns 50,000 characters that are not JSON.
    ReturnsALongText,
    /// Returns a thousand nested brackets.
    ReturnsADeepText,
    /// Sleeps for an hour on a WASI clock, and then returns the expected result.
    SleepsAnHour,
}

impl Call {
    /// Returns the body that replaces the template's.
    const fn body(self) -> &'static str {
        match self {
            Self::Behaves => "(call $answer (i32.const 48) (i32.const 15))",
            Self::Traps => "unreachable",
            Self::ReturnsNoJson => "(call $answer (i32.const 80) (i32.const 7))",
            Self::ReturnsABigNumber => "(call $answer (i32.const 128) (i32.const 32))",
            Self::LacksAName => "(call $answer (i32.const 0) (i32.const 2))",
            Self::ReturnsALongText => "(call $answer (i32.const 2048) (i32.const 50000))",
            Self::ReturnsADeepText => {
                "(local $i i32)
                 (loop $fill
                   (i32.store8 (i32.add (i32.const 70000) (local.get $i)) (i32.const 91))
                   (local.set $i (i32.add (local.get $i) (i32.const 1)))
                   (br_if $fill (i32.lt_u (local.get $i) (i32.const 1000))))
                 (call $answer (i32.const 70000) (i32.const 1000))"
            }
            Self::SleepsAnHour => {
                "(call $block (call $subscribe (i64.const 3600000000000)))
                 (call $answer (i32.const 48) (i32.const 15))"
            }
            Self::TakesASecond => {
                "(local $end i64)
                 (local.set $end (i64.add (call $now) (i64.const 1000000000)))
                 (loop $wait (br_if $wait (i64.lt_u (call $now) (local.get $end))))
                 (call $answer (i32.const 48) (i32.const 15))"
            }
        }
    }

    /// Returns the guest's component, as text.
    ///
    /// # Panics
    /// If the template lacks the markers.
    pub fn component(self) -> String {
        let (before, rest) = TEMPLATE
            .split_once(";; <call>")
            .expect("the template has a first marker");
        let (_, after) = rest
            .split_once(";; </call>")
            .expect("the template has a second marker");
        format!("{before}{}\n{after}", self.body())
    }
}
