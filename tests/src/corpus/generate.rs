//! Generates the guests that would be too large as text.

use std::fmt::Write as _;

use super::Guest;
use crate::guest::Call;

/// Returns the bytes of a guest without a file.
pub(super) fn bytes(guest: Guest) -> Option<Vec<u8>> {
    match guest {
        // The eight bytes of an empty module.
        Guest::CoreModule => Some(b"\0asm\x01\0\0\0".to_vec()),
        // The first half of a valid plugin.
        Guest::TruncatedFile => {
            let whole = cairn_bundle::component("quota-reserve")?;
            Some(whole[..whole.len() / 2].to_vec())
        }
        // One long function of calls whose results a compiler cannot fold.
        Guest::HugeFunction => {
            let body =
                "(local.set 0 (i32.add (call $f (local.get 0)) (local.get 0)))\n".repeat(30_000);
            Some(component(&format!(
                "(func $f (param i32) (result i32)\n{body}(local.get 0))"
            )))
        }
        // Nested blocks.
        Guest::DeepCode => {
            let depth = 100_000;
            let body = "block\n".repeat(depth) + &"end\n".repeat(depth);
            Some(component(&format!("(func\n{body})")))
        }
        // Many small functions.
        Guest::ManyFunctions => {
            let mut text = String::new();
            for number in 0..30_000 {
                let _ = writeln!(text, "(func (result i32) (i32.const {number}))");
            }
            Some(component(&text))
        }
        // Functions with 50,000 locals each: little code, but much work.
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
        // A loop, with debug info of twenty million lines.
        Guest::HugeDebugInfo => Some(with_lines(&Guest::LoopInCall.bytes(), 20 << 20)),
        // Nested loops over variables that any of them may have changed: the work is the product of both, but the code is small.
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
        // A valid plugin, with a hundred empty modules beside its own.
        Guest::ManyInstances => {
            let sound = Call::Behaves.component();
            let (before, last) = sound.trim_end().split_at(sound.trim_end().len() - 1);
            let empty = "(core instance (instantiate $empty))\n".repeat(100);
            Some(format!("{before}\n(core module $empty)\n{empty}{last}").into_bytes())
        }
        _ => None,
    }
}

/// Returns a component with the exports of a task, which contains a module of these fields.
fn component(fields: &str) -> Vec<u8> {
    let text = format!(
        "(component (core module {fields}) (instance $i)\n\
         (export \"cairn:plugin/plugin@0.1.0\" (instance $i)) (export \"cairn:plugin/task@0.1.0\" (instance $i)))"
    );
    // The host accepts text as well as binaries.
    text.into_bytes()
}

/// Adds debug info with this many lines to the component's largest module.
fn with_lines(component: &[u8], lines: usize) -> Vec<u8> {
    const MODULE: u8 = 1;
    let (magic, mut rest) = component.split_at(8);
    let mut sections = Vec::new();
    while let Some((kind, after)) = rest.split_first() {
        let (length, after) = read_leb(after);
        let (body, after) = after.split_at(length);
        sections.push((*kind, body.to_vec()));
        rest = after;
    }
    let modules = sections.iter_mut().filter(|(kind, _)| *kind == MODULE);
    let largest = modules.max_by_key(|(_, body)| body.len());
    let (_, module) = largest.expect("a component has a module");
    for (name, body) in debug_info(lines) {
        let mut custom = leb(name.len());
        custom.extend_from_slice(name.as_bytes());
        custom.extend(body);
        module.extend(section(0, &custom));
    }
    let mut made = magic.to_vec();
    made.extend(
        sections
            .iter()
            .flat_map(|(kind, body)| section(*kind, body)),
    );
    made
}

/// Returns DWARF 4 sections with one unit, which covers every address and has a line table of this length.
fn debug_info(lines: usize) -> [(&'static str, Vec<u8>); 3] {
    let length = |bytes: usize| {
        u32::try_from(bytes)
            .expect("it is not that long")
            .to_le_bytes()
    };
    // Abbreviation 1: a unit without children, with the offset of its line table, a low and a high address.
    let abbreviations = vec![1, 0x11, 0, 0x10, 0x17, 0x11, 0x01, 0x12, 0x06, 0, 0, 0];
    let unit = [
        &[4, 0, 0, 0, 0, 0, 4, 1][..],
        &[0; 4],
        &[0; 4],
        &[255, 255, 255, 127],
    ]
    .concat();
    let unit = [&length(unit.len())[..], &unit].concat();
    // The usual header values and opcode lengths; then no folders and one file.
    let opcodes = [1, 1, 1, 251, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0];
    let header = [&opcodes[..], b"a.rs\0\0\0\0\0"].concat();
    let mut table = [&[4, 0][..], &length(header.len()), &header].concat();
    // Starts at address 0; each opcode advances by one byte.
    table.extend([0, 5, 2, 0, 0, 0, 0]);
    table.resize(table.len() + lines, 0x20);
    table.extend([0, 1, 1]);
    let table = [&length(table.len())[..], &table].concat();
    [
        (".debug_abbrev", abbreviations),
        (".debug_info", unit),
        (".debug_line", table),
    ]
}

fn section(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &leb(body.len()), body].concat()
}

/// Encodes a number as unsigned LEB128.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn read_leb(bytes: &[u8]) -> (usize, &[u8]) {
    let last = bytes.iter().position(|byte| byte & 0x80 == 0);
    let (number, rest) = bytes.split_at(last.expect("a number ends") + 1);
    let digits = number.iter().rev();
    let number = digits.fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f));
    (number, rest)
}
