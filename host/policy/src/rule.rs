//! The syntax tree of a rule. Its `Display` is the canonical form, which parses to the same tree.

use std::fmt;

/// A rule, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// `@`, the empty rule and the empty list.
    Always,
    /// `!`.
    Never,
    /// Parts joined by `and`; two or more.
    All(Vec<Rule>),
    /// Parts joined by `or`; two or more.
    Any(Vec<Rule>),
    /// `not` and a part.
    Not(Box<Rule>),
    /// One `kind:match`.
    Check(Check),
}

/// One `kind:match`. A new kind of check needs a variant here, a line in `parse::check` and one in `eval`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// `role:NAME`: the caller has the role, in upper or lower case.
    Role(Template),
    /// `rule:NAME`: the rule of that name passes; if there is none, the rule `default`.
    Rule(String),
    /// `wasm:NAME`: the plugin of that name allows it.
    Wasm(String),
    /// `'text':MATCH`, `True:MATCH`, `5:MATCH`: a fixed value against the target.
    Literal {
        /// As it was written, with its quotes.
        source: String,
        /// The text that is compared.
        value: String,
        /// The match.
        expected: Template,
    },
    /// `NAME:MATCH`: an attribute of the caller.
    Credential {
        /// Name of the attribute.
        name: String,
        /// The match.
        expected: Template,
    },
}

/// Text with `%(name)s`, each replaced by a value of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(pub(super) Vec<Part>);

impl Template {
    /// Returns whether it contains no value of the target.
    pub(super) fn is_plain(&self) -> bool {
        self.0.iter().all(|part| matches!(part, Part::Text(_)))
    }
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Literal text.
    Text(String),
    /// `%(name)s`.
    Target(String),
}

impl Rule {
    /// Returns the number of levels of the tree.
    pub(super) fn height(&self) -> usize {
        match self {
            Self::Always | Self::Never | Self::Check(_) => 1,
            Self::All(parts) | Self::Any(parts) => {
                1 + parts.iter().map(Self::height).max().unwrap_or(0)
            }
            Self::Not(part) => 1 + part.height(),
        }
    }

    /// Returns the names of the rules that this one refers to.
    pub(super) fn references(&self) -> Vec<&str> {
        self.named(|check| match check {
            Check::Rule(name) => Some(name),
            _ => None,
        })
    }

    /// Returns the names of the plugins that this rule itself asks.
    pub(super) fn plugins(&self) -> Vec<&str> {
        self.named(|check| match check {
            Check::Wasm(plugin) => Some(plugin),
            _ => None,
        })
    }

    /// Returns the names that `name_of` finds in its checks.
    fn named(&self, name_of: impl Fn(&Check) -> Option<&String>) -> Vec<&str> {
        let mut names = Vec::new();
        let mut rest = vec![self];
        while let Some(rule) = rest.pop() {
            match rule {
                Self::All(parts) | Self::Any(parts) => rest.extend(parts),
                Self::Not(part) => rest.push(part),
                Self::Check(check) => names.extend(name_of(check).map(String::as_str)),
                Self::Always | Self::Never => {}
            }
        }
        names
    }

    fn fmt_joined(parts: &[Self], word: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                write!(f, " {word} ")?;
            }
            part.fmt_part(f)?;
        }
        Ok(())
    }

    fn fmt_part(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(_) | Self::Any(_) => write!(f, "({self})"),
            Self::Always | Self::Never | Self::Not(_) | Self::Check(_) => {
                fmt::Display::fmt(self, f)
            }
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("@"),
            Self::Never => f.write_str("!"),
            Self::All(parts) => Self::fmt_joined(parts, "and", f),
            Self::Any(parts) => Self::fmt_joined(parts, "or", f),
            Self::Not(part) => {
                f.write_str("not ")?;
                part.fmt_part(f)
            }
            Self::Check(check) => fmt::Display::fmt(check, f),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(role) => write!(f, "role:{role}"),
            Self::Rule(name) => write!(f, "rule:{name}"),
            Self::Wasm(plugin) => write!(f, "wasm:{plugin}"),
            Self::Literal {
                source, expected, ..
            } => write!(f, "{source}:{expected}"),
            Self::Credential { name, expected } => write!(f, "{name}:{expected}"),
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(&text.replace('%', "%%")),
            Part::Target(name) => write!(f, "%({name})s"),
        })
    }
}
