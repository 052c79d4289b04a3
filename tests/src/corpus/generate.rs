//! Guests that are unwieldy as text.

use std::fmt::Write as _;

use super::Guest;
use crate::guest::Call;

/// The bytes of a guest that has no file.
pub(super) fn bytes(guest: Guest) -> Option<Vec<u8>> {
    match guest {
        // Eight bytes are a whole module.
        Guest::CoreModule => Some(b"\0asm\x01\0\0\0".to_vec()),
        // The first half of a plugin that is sound.
        Guest::TruncatedFile => {
            let whole = cairn_bundle::component("quota-reserve")?;
            Some(whole[..whole.len() / 2].to_vec())
        }
        // One long function, of calls whose results a compiler cannot fold.
        Guest::HugeFunction => {
            let body =
                "(local.set 0 (i32.add (call $f (local.get 0)) (local.get 0)))\n".repeat(30_000);
            Some(component(&format!(
                "(func $f (param i32) (result i32)\n{body}(local.get 0))"
            )))
        }
        // Blocks in blocks.
        Guest::DeepCode => {
            let depth = 100_000;
            let body = "block\n".repeat(depth) + &"end\n".repeat(depth);
            Some(component(&format!("(func\n{body})")))
        }
        // Functions that are small each.
        Guest::ManyFunctions => {
            let mut text = String::new();
            for number in 0..30_000 {
                let _ = writeln!(text, "(func (result i32) (i32.const {number}))");
            }
            Some(component(&text))
        }
        // Functions of 50,000 locals each: more work than bytes.
        Guest::ManyLocals => {
            let locals = "i64 ".repeat(49_000);
            let mut text = String::new();
            for _ in 0..20 {
                let _ = writeln!(
                    text,
                    "(func (result i64) (local {locals}) (loop (local.set 48999 (i64.add (local.get 0) (local.get 48999)))) \
                     (local.get 48999))"
                );
            }
            Some(component(&text))
        }
        // Loops in loops, and variables that any of them may have changed: the work is the product of the two, and the code is
        // small.
        Guest::CompilesForMinutes => {
            let (loops, locals) = (1_000, 1_000);
            let mut text = format!("(func (result i64) (local {})\n", "i64 ".repeat(locals));
            for number in 0..loops {
                let _ = writeln!(text, "(loop $l{number}");
            }
            for number in 0..loops {
                let (own, other) = (number * 7 % locals, (number * 13 + 5) % locals);
                let _ = writeln!(
                    text,
                    "(local.set {own} (i64.add (local.get {own}) (local.get {other}))) \
                     (br_if $l{} (i32.wrap_i64 (local.get {own}))))",
                    loops - 1 - number
                );
            }
            text.push_str("(local.get 0))");
            Some(component(&text))
        }
        // A plugin that is sound, with a hundred empty modules beside its own.
        Guest::ManyInstances => {
            let sound = Call::Behaves.component();
            let (before, last) = sound.trim_end().split_at(sound.trim_end().len() - 1);
            let empty = "(core instance (instantiate $empty))\n".repeat(100);
            Some(format!("{before}\n(core module $empty)\n{empty}{last}").into_bytes())
        }
        _ => None,
    }
}

/// A component that exports what a task does, and holds a module of these fields.
fn component(fields: &str) -> Vec<u8> {
    let text = format!(
        "(component (core module {fields}) (instance $i)\n\
         (export \"cairn:plugin/plugin@0.1.0\" (instance $i)) (export \"cairn:plugin/task@0.1.0\" (instance $i)))"
    );
    // The host takes text as it takes binaries.
    text.into_bytes()
}
