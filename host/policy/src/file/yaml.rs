//! Reads policies in YAML.
//!
//! The reader works event by event, so that every rule has its line, and YAML that no policy needs is never built. The parser
//! keeps its state on the heap and limits flow collections to 256 levels; here a rule is a string or a list of lists, and the
//! text that aliases repeat is limited.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use cairn_model::error::Diagnostic;
use cairn_model::value::Value;

use super::{Entry, MAX_BYTES};

/// A rule is a list of lists of strings.
const MAX_LISTS: usize = 2;

const MAP: &str = "write a map of rules by name, such as `\"volume:create\": \"role:member\"`";
const RULE: &str = "write a string such as \"role:admin or is_admin:True\", in quotes";

pub(super) fn entries(text: &str) -> Result<Vec<Entry>, Diagnostic> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        repeated: 0,
    };
    reader.document()
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    /// Anchored values by number, with their sizes in bytes.
    anchors: HashMap<usize, (Value, usize)>,
    /// Bytes that aliases have repeated so far.
    repeated: usize,
}

fn error(line: usize, message: impl AsRef<str>, help: &str) -> Diagnostic {
    Diagnostic {
        line: Some(line),
        ..Diagnostic::new(message).help(help)
    }
}

fn no_yaml(error: &ScanError) -> Diagnostic {
    let help = match error.info() {
        info if info.starts_with("unexpected character") => {
            "put a rule that begins with `@`, `%` or another sign in quotes"
        }
        info if info.starts_with("mapping values are not allowed") => {
            "a name or a rule with a colon and a space in it stands in quotes"
        }
        _ => MAP,
    };
    Diagnostic {
        // An error at the end is on the line after the last.
        line: Some(error.marker().line()),
        ..Diagnostic::new(format!("the policy is no YAML: {}", error.info())).help(help)
    }
}

impl<'t> Reader<'t> {
    /// Returns the next event and its line.
    fn next(&mut self) -> Result<(Event<'t>, usize), Diagnostic> {
        match self.parser.next_event() {
            Some(Ok((event, Span { start, .. }))) => Ok((event, start.line())),
            Some(Err(error)) => Err(no_yaml(&error)),
            None => Ok((Event::StreamEnd, 1)),
        }
    }

    fn document(&mut self) -> Result<Vec<Entry>, Diagnostic> {
        let mut entries = None;
        loop {
            let (event, line) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(entries.unwrap_or_default()),
                Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(_) if entries.is_none() => {}
                Event::DocumentStart(_) => {
                    return Err(error(
                        line,
                        "the policy has more than one document",
                        "write all rules into one",
                    ));
                }
                // A file of comments only, as generators of sample policies write it.
                Event::Scalar(text, ScalarStyle::Plain, _, None) if is_null(&text) => {
                    entries = Some(Vec::new());
                }
                Event::MappingStart(_, None) => entries = Some(self.rules()?),
                Event::MappingStart(_, Some(tag)) => return Err(tagged(line, &tag)),
                Event::Scalar(..) | Event::SequenceStart(..) | Event::Alias(_) => {
                    return Err(error(line, "the policy is no YAML map", MAP));
                }
                Event::SequenceEnd | Event::MappingEnd => {}
            }
        }
    }

    fn rules(&mut self) -> Result<Vec<Entry>, Diagnostic> {
        let mut entries = Vec::new();
        loop {
            let (event, line) = self.next()?;
            let name = match event {
                Event::MappingEnd => return Ok(entries),
                Event::Scalar(_, _, _, Some(tag)) => return Err(tagged(line, &tag)),
                Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<" => {
                    return Err(error(
                        line,
                        "`<<` merges nothing into a policy",
                        "write the rules out, or refer to them by `rule:NAME`",
                    ));
                }
                Event::Scalar(text, _, anchor, None) => {
                    self.keep(anchor, || (Value::from(&*text), text.len()));
                    text.into_owned()
                }
                _ => return Err(error(line, "a rule's name is no string", MAP)),
            };
            let (event, at) = self.next()?;
            let rule = self.rule(&name, event, at, 0)?.0;
            entries.push(Entry {
                name,
                line: Some(line),
                rule,
            });
        }
    }

    /// Reads a rule, or an item of its lists; returns its size too. The recursion is bounded by `MAX_LISTS`.
    fn rule(
        &mut self,
        name: &str,
        event: Event<'t>,
        line: usize,
        lists: usize,
    ) -> Result<(Value, usize), Diagnostic> {
        let rule = |rest: &str| error(line, format!("rule `{}` {rest}", name.escape_debug()), RULE);
        match event {
            Event::Scalar(_, _, _, Some(tag)) | Event::SequenceStart(_, Some(tag)) => {
                Err(tagged(line, &tag))
            }
            Event::Scalar(text, ScalarStyle::Plain, _, None) if is_null(&text) => {
                Err(rule("is null"))
            }
            Event::Scalar(text, ScalarStyle::Plain, _, None) if is_number(&text) => {
                Err(rule("is a number"))
            }
            Event::Scalar(text, _, anchor, None) => {
                let read = (Value::from(&*text), text.len());
                self.keep(anchor, || read.clone());
                Ok(read)
            }
            Event::SequenceStart(anchor, None) if lists < MAX_LISTS => {
                let mut items = Vec::new();
                let mut size = 1;
                loop {
                    let (event, line) = self.next()?;
                    if event == Event::SequenceEnd {
                        break;
                    }
                    let (item, its) = self.rule(name, event, line, lists + 1)?;
                    // An empty item takes room too.
                    size += its + 1;
                    items.push(item);
                }
                let read = (Value::Array(items), size);
                self.keep(anchor, || read.clone());
                Ok(read)
            }
            Event::SequenceStart(..) => Err(rule("has lists in the lists of its list")),
            Event::Alias(anchor) => {
                // An alias inside its own anchor is not known yet.
                let (value, size) = self
                    .anchors
                    .get(&anchor)
                    .ok_or_else(|| rule("holds itself"))?;
                self.repeated += size + 1;
                if self.repeated > MAX_BYTES {
                    return Err(rule(&format!(
                        "has an alias too many: together they make more than {MAX_BYTES} bytes"
                    )));
                }
                if lists + depth(value) > MAX_LISTS {
                    return Err(rule("has lists in the lists of its list"));
                }
                Ok((value.clone(), *size))
            }
            _ => Err(rule("is a map")),
        }
    }

    /// Stores an anchored value; anchor 0 means none.
    fn keep(&mut self, anchor: usize, read: impl FnOnce() -> (Value, usize)) {
        if anchor != 0 {
            self.anchors.insert(anchor, read());
        }
    }
}

/// Returns the depth of lists in a value. Values of this reader are at most `MAX_LISTS` deep.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn tagged(line: usize, tag: &Tag) -> Diagnostic {
    let shown = format!("{}{}", tag.handle, tag.suffix);
    error(
        line,
        format!("the policy has the tag `{}`", shown.escape_debug()),
        "a rule that is `!` stands in quotes: \"!\"",
    )
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// Returns whether any version of YAML may read a number: `5:30` is 330 to some.
fn is_number(text: &str) -> bool {
    text.contains(|c: char| c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '.' | ':' | '_' | '+' | '-'))
}
