//! Compiles components to machine code. Cranelift cannot be stopped within its thread, so a program that accepts untrusted
//! components gives [`Plugins`](super::Plugins) a [`Compiler`] that works in its own process.

use std::borrow::Cow;
use std::fmt;

use wasmparser::{Operator, Parser, Payload};
use wasmtime::Engine;

use super::PluginError;
use super::ended::describe_error;
use super::engine::config;

/// Maximum code of all functions together, in bytes. Python's interpreter has 12 MiB, JavaScript's 8.
const CODE: usize = 48 << 20;

/// Maximum code of one function, in bytes. The largest in Python's and JavaScript's interpreters have some 100 KiB.
const FUNCTION: usize = 1 << 20;

/// Maximum number of functions.
const FUNCTIONS: usize = 200_000;

/// Maximum depth of blocks in a function. Every case of a `switch` is a block around the ones before it.
const BLOCKS: usize = 10_000;

/// Maximum depth of nested components.
const COMPONENTS: usize = 32;

/// Maximum number of modules and components inside of a component.
const PARTS: usize = 500;

/// Compiles components as [`compile`] does, in this process or another.
pub trait Compiler: fmt::Debug + Send + Sync {
    /// Returns the machine code of a component, exactly as [`compile`] of this build returns it.
    ///
    /// The result is loaded, and loading it executes it: an implementation must make sure that the result of another process
    /// comes from that process.
    ///
    /// # Errors
    /// Those of [`compile`]; [`PluginError::Compiler`] when it exceeded its time or memory; [`PluginError::NotCompiled`] when
    /// the component is not the reason.
    fn compile(&self, component: &[u8]) -> Result<Vec<u8>, PluginError>;
}

/// Compiles in the calling thread, without a time limit: for trusted components.
#[derive(Clone, Copy, Debug, Default)]
pub struct InProcess;

impl Compiler for InProcess {
    fn compile(&self, component: &[u8]) -> Result<Vec<u8>, PluginError> {
        compile(component)
    }
}

/// Compiles a component, after checking that it is small and flat enough to be compiled in a reasonable time. Accepts the text
/// format too.
///
/// # Errors
/// When the bytes are not a component, or an invalid or too complex one.
pub fn compile(component: &[u8]) -> Result<Vec<u8>, PluginError> {
    sniff(component)?;
    let binary = binary(component)?;
    measure(&binary)?;
    let engine =
        Engine::new(&config()).map_err(|error| PluginError::Sandbox(describe_error(&error)))?;
    precompile(&engine, &binary)
}

/// Returns the binary form of a component, which may be text.
fn binary(component: &[u8]) -> Result<Cow<'_, [u8]>, PluginError> {
    wat::parse_bytes(component).map_err(|error| PluginError::Invalid(describe_text_error(&error)))
}

/// Describes an error in text and its position on one line, without the parser's picture of the line.
fn describe_text_error(error: &wat::Error) -> String {
    let words = error.to_string();
    let mut lines = words.lines().map(str::trim);
    let what = lines.next().unwrap_or_default();
    let place = lines.find_map(|line| line.strip_prefix("--> <anon>:"));
    match place {
        Some(place) => format!("its text is wrong at {place}: {what}"),
        None => format!("its text is wrong: {what}"),
    }
}

/// Compiles a trusted component.
pub(super) fn precompile(engine: &Engine, component: &[u8]) -> Result<Vec<u8>, PluginError> {
    engine
        .precompile_component(&binary(component)?)
        .map_err(|error| PluginError::Invalid(describe_error(&error)))
}

/// Checks from the first bytes whether they are a component.
pub(super) fn sniff(bytes: &[u8]) -> Result<(), PluginError> {
    if Engine::detect_precompiled(bytes).is_some() {
        return Err(PluginError::Precompiled);
    }
    if bytes.starts_with(b"\0asm\x01\0\0\0") {
        return Err(PluginError::CoreModule);
    }
    if bytes.starts_with(b"\0asm\x0d\0\x01\0") {
        return Ok(());
    }
    match std::str::from_utf8(bytes).ok().and_then(first_keyword) {
        Some("component") => return Ok(()),
        Some("module") => return Err(PluginError::CoreModule),
        _ => {}
    }
    let first: String = bytes
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Err(PluginError::NotAComponent(match first.as_str() {
        "" => "the file is empty".to_owned(),
        first => format!("it begins with the bytes {first}"),
    }))
}

/// Returns the first keyword of WebAssembly text, after white space and comments; `None` for other text.
fn first_keyword(text: &str) -> Option<&str> {
    let inside = after_trivia(text)?.strip_prefix('(')?;
    let keyword = after_trivia(inside)?;
    let end = keyword.find(|c: char| !c.is_ascii_alphanumeric());
    Some(&keyword[..end.unwrap_or(keyword.len())])
}

/// Skips white space and comments; returns `None` if a comment does not end.
fn after_trivia(mut text: &str) -> Option<&str> {
    loop {
        text = text.trim_start_matches([' ', '\t', '\n', '\r']);
        text = if let Some(comment) = text.strip_prefix(";;") {
            comment.find('\n').map_or("", |end| &comment[end..])
        } else if let Some(comment) = text.strip_prefix("(;") {
            after_block(comment)?
        } else {
            return Some(text);
        };
    }
}

/// Skips the rest of a block comment after its opening. Such comments nest.
fn after_block(mut text: &str) -> Option<&str> {
    let mut depth = 1_usize;
    while depth > 0 {
        let next = text.find(['(', ';'])?;
        text = &text[next..];
        let (change, length) = match text.as_bytes() {
            [b'(', b';', ..] => (depth + 1, 2),
            [b';', b')', ..] => (depth - 1, 2),
            _ => (depth, 1),
        };
        depth = change;
        text = &text[length..];
    }
    Some(text)
}

/// Checks that a component can be compiled in a reasonable time.
fn measure(component: &[u8]) -> Result<(), PluginError> {
    let invalid = |error: wasmparser::BinaryReaderError| {
        if error.message().contains("unexpected end") {
            PluginError::Truncated { at: error.offset() }
        } else {
            PluginError::Invalid(error.to_string())
        }
    };
    let within = |what: &str, found: usize, most: usize| {
        if found <= most {
            return Ok(());
        }
        Err(PluginError::TooComplex {
            what: what.to_owned(),
            found,
            most,
        })
    };
    let (mut code, mut functions, mut parts, mut depth) = (0_usize, 0_usize, 0_usize, 0_usize);
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(invalid)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                parts += 1;
                depth += 1;
                within("modules and components inside of it", parts, PARTS)?;
                within("levels of components", depth, COMPONENTS)?;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CodeSectionStart { count, size, .. } => {
                code = code.saturating_add(size as usize);
                functions = functions.saturating_add(count as usize);
                within("bytes of code", code, CODE)?;
                within("functions", functions, FUNCTIONS)?;
            }
            Payload::CodeSectionEntry(body) => {
                within("bytes in one function", body.range().len(), FUNCTION)?;
                let mut blocks = 0_usize;
                for operator in body.get_operators_reader().map_err(invalid)? {
                    match operator.map_err(invalid)? {
                        Operator::Block { .. }
                        | Operator::Loop { .. }
                        | Operator::If { .. }
                        | Operator::TryTable { .. } => {
                            blocks += 1;
                            within("blocks inside of each other", blocks, BLOCKS)?;
                        }
                        Operator::End => blocks = blocks.saturating_sub(1),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(body: &str) -> Vec<u8> {
        let text = format!("(component (core module (func {body})))");
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn a_component_that_would_take_too_long_is_refused_before_it_is_compiled() {
        let deep = "block ".repeat(BLOCKS + 1) + &"end ".repeat(BLOCKS + 1);
        let long = "nop ".repeat(FUNCTION + 1);
        let parts = "(core module)".repeat(PARTS + 1);
        let nested = "(component ".repeat(COMPONENTS + 2) + &")".repeat(COMPONENTS + 2);
        let cases = [
            (module(&deep), "blocks inside of each other"),
            (module(&long), "bytes in one function"),
            (
                wat::parse_str(format!("(component {parts})")).unwrap(),
                "modules and components",
            ),
            (wat::parse_str(nested).unwrap(), "levels of components"),
        ];
        for (component, what) in cases {
            let error = measure(&component).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
        measure(&module("block block end end")).unwrap();
    }

    #[test]
    fn text_may_begin_with_white_space_and_comments() {
        for text in [
            "(component)",
            "\n\t\r\n (component)",
            ";; what it is\n;; and why\n(component)",
            "(; a (; nested ;) one; (a) ;)(component)",
            "( ;; between\n (;;) component)",
            "(component $named (core module))",
        ] {
            compile(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
        let error = sniff(b";; a module\n(module)").unwrap_err();
        assert!(matches!(error, PluginError::CoreModule), "{error}");
        let open = format!("{}(component)", "(;".repeat(100_000));
        for text in [";; nothing more", "(; open", "(components)", "( ", &open] {
            let error = sniff(text.as_bytes()).unwrap_err();
            assert!(matches!(error, PluginError::NotAComponent(_)), "{text:.20}");
        }
    }

    #[test]
    fn a_truncated_component_is_called_that() {
        let whole = module("block end");
        let error = compile(&whole[..whole.len() - 3]).unwrap_err();
        assert!(matches!(error, PluginError::Truncated { .. }), "{error}");
    }

    #[test]
    fn a_precompiled_component_is_refused() {
        let artifact = compile(b"(component)").unwrap();
        let error = compile(&artifact).unwrap_err();
        assert!(matches!(error, PluginError::Precompiled), "{error}");
    }
}
