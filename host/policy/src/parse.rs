//! Parses one rule: the language of `oslo.policy`, and the older lists of lists.
//!
//! oslo.policy turns text that it cannot parse into a rule that always fails. Here it is an error: a rule under `not` that
//! silently failed would let every caller in.

use cairn_model::value::Value;

use super::fault::{RuleError, error, shown};
use super::literal::{self, Kind};
use super::rule::{Check, Part, Rule, Template};

/// Maximum length of a rule, in bytes.
const MAX_RULE: usize = 64 << 10;
/// Maximum nesting of parentheses and `not`.
const MAX_NESTING: usize = 64;
/// Kinds of checks that other programs offer and this one does not. As attributes of the caller they would always fail.
const RESERVED: [&str; 2] = ["http", "https"];

/// Parses a rule of a policy file: a string, or a list of lists.
pub(super) fn rule(value: &Value) -> Result<Rule, RuleError> {
    const HELP: &str = r#"write a string such as "role:admin or is_admin:True""#;
    match value {
        Value::String(text) => expression(text),
        Value::Array(alternatives) => list(alternatives),
        Value::Null => Err(error("is null", HELP)),
        Value::Bool(_) => Err(error("is a boolean", HELP)),
        Value::Number(_) => Err(error("is a number", HELP)),
        Value::Object(_) => Err(error("is an object", HELP)),
    }
}

/// Parses `[["a:1", "b:2"], ["c:3"]]`: a and b, or c. An empty list always passes; a list of empty lists only never does; an
/// empty string counts as an empty list.
fn list(alternatives: &[Value]) -> Result<Rule, RuleError> {
    const HELP: &str =
        r#"write a list of lists of checks, such as [["role:admin"], ["is_admin:True"]]"#;
    if alternatives.is_empty() {
        return Ok(Rule::Always);
    }
    let mut any = Vec::new();
    for alternative in alternatives {
        let checks = match alternative {
            Value::String(text) if text.is_empty() => &[],
            Value::String(_) => std::slice::from_ref(alternative),
            Value::Array(checks) => checks,
            _ => {
                return Err(error(
                    "holds something that is neither a list nor a check",
                    HELP,
                ));
            }
        };
        let mut all = Vec::new();
        for item in checks {
            let text = item
                .as_str()
                .ok_or_else(|| error("holds something that is no check", HELP))?;
            all.push(check(text)?);
        }
        if !all.is_empty() {
            any.push(joined(all, Rule::All));
        }
    }
    Ok(if any.is_empty() {
        Rule::Never
    } else {
        joined(any, Rule::Any)
    })
}

/// Joins parts; a single part is returned as it is.
fn joined(mut parts: Vec<Rule>, join: fn(Vec<Rule>) -> Rule) -> Rule {
    match parts.len() {
        1 => parts.remove(0),
        _ => join(parts),
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'t> {
    Open,
    Close,
    And,
    Or,
    Not,
    Check(&'t str),
    /// A word that begins and ends with the same quote, which is not a check, even with a colon in it.
    Quoted(&'t str),
}

fn expression(text: &str) -> Result<Rule, RuleError> {
    if text.is_empty() {
        return Ok(Rule::Always);
    }
    if text.len() > MAX_RULE {
        return Err(error(
            format!("is longer than {MAX_RULE} bytes"),
            "split it into rules",
        ));
    }
    let tokens = tokens(text);
    if tokens.is_empty() {
        return Err(error(
            "holds nothing but spaces",
            "write `@` to allow every caller, `!` to deny every caller",
        ));
    }
    let mut parser = Parser {
        rest: tokens.iter().copied().peekable(),
    };
    let rule = parser.alternatives(0)?;
    match parser.rest.next() {
        None => Ok(rule),
        Some(Token::Close) => Err(error(
            "closes a parenthesis that was not opened",
            PARENTHESES,
        )),
        Some(token) => Err(error(
            format!("needs `and` or `or` before `{}`", shown(word(token))),
            "join the checks by `and` or `or`",
        )),
    }
}

const PARENTHESES: &str = "give each `(` its `)`";

/// Splits a rule into words at spaces. Parentheses are recognized at the start and the end of a word; inside it they belong to
/// the check, as in `%(name)s`.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for word in text.split(is_blank).filter(|word| !word.is_empty()) {
        let opened = word.trim_start_matches('(');
        tokens.extend((opened.len()..word.len()).map(|_| Token::Open));
        let inner = opened.trim_end_matches(')');
        if inner.eq_ignore_ascii_case("and") {
            tokens.push(Token::And);
        } else if inner.eq_ignore_ascii_case("or") {
            tokens.push(Token::Or);
        } else if inner.eq_ignore_ascii_case("not") {
            tokens.push(Token::Not);
        } else if is_quoted(opened) {
            tokens.push(Token::Quoted(opened));
        } else if !inner.is_empty() {
            tokens.push(Token::Check(inner));
        }
        tokens.extend((inner.len()..opened.len()).map(|_| Token::Close));
    }
    tokens
}

/// Returns whether Python treats a character as a space: includes the four separators of ASCII.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

fn is_quoted(word: &str) -> bool {
    let within = |quote| {
        let rest = word.strip_prefix(quote);
        rest.is_some_and(|rest| rest.ends_with(quote))
    };
    within('\'') || within('"')
}

fn word(token: Token<'_>) -> &str {
    match token {
        Token::Open => "(",
        Token::Close => ")",
        Token::And => "and",
        Token::Or => "or",
        Token::Not => "not",
        Token::Check(text) | Token::Quoted(text) => text,
    }
}

/// `not` binds more tightly than `and`, and `and` more tightly than `or`.
struct Parser<'t, I: Iterator<Item = Token<'t>>> {
    rest: std::iter::Peekable<I>,
}

impl<'t, I: Iterator<Item = Token<'t>>> Parser<'t, I> {
    fn alternatives(&mut self, nesting: usize) -> Result<Rule, RuleError> {
        let mut any = vec![self.conjunction(nesting)?];
        while self.rest.next_if_eq(&Token::Or).is_some() {
            any.push(self.conjunction(nesting)?);
        }
        Ok(joined(any, Rule::Any))
    }

    fn conjunction(&mut self, nesting: usize) -> Result<Rule, RuleError> {
        let mut all = vec![self.part(nesting)?];
        while self.rest.next_if_eq(&Token::And).is_some() {
            all.push(self.part(nesting)?);
        }
        Ok(joined(all, Rule::All))
    }

    fn part(&mut self, nesting: usize) -> Result<Rule, RuleError> {
        if nesting > MAX_NESTING {
            return Err(error(
                format!("is nested more than {MAX_NESTING} deep"),
                "split it into rules",
            ));
        }
        match self.rest.next() {
            Some(Token::Check(text)) => check(text),
            Some(Token::Quoted(text)) => Err(error(
                format!("holds the text `{}`, which is no check", shown(text)),
                "a check is `'text':match`, and its match has no quotes",
            )),
            Some(Token::Not) => Ok(Rule::Not(Box::new(self.part(nesting + 1)?))),
            Some(Token::Open) => {
                let rule = self.alternatives(nesting + 1)?;
                match self.rest.next() {
                    Some(Token::Close) => Ok(rule),
                    Some(token) => Err(error(
                        format!("needs `and`, `or` or `)` before `{}`", shown(word(token))),
                        PARENTHESES,
                    )),
                    None => Err(error("opens a parenthesis that is not closed", PARENTHESES)),
                }
            }
            Some(token @ (Token::Close | Token::And | Token::Or)) => Err(error(
                format!("has `{}` where a check should be", word(token)),
                "write a check such as `role:admin` there",
            )),
            None => Err(error(
                "ends where a check should be",
                "write a check such as `role:admin` there",
            )),
        }
    }
}

/// Parses one check: `@`, `!`, or `kind:match`.
fn check(text: &str) -> Result<Rule, RuleError> {
    match text {
        "@" => return Ok(Rule::Always),
        "!" => return Ok(Rule::Never),
        _ => {}
    }
    let Some((kind, expected)) = text.split_once(':') else {
        return Err(error(
            format!("holds `{}`, which is no check", shown(text)),
            "write `kind:match`, such as `role:admin` or `rule:admin_api`",
        ));
    };
    if RESERVED.contains(&kind) {
        return Err(error(
            format!("has a check of kind `{kind}`, which this version does not offer"),
            "decide by roles, attributes of the caller, and the target",
        ));
    }
    Ok(Rule::Check(match kind {
        "rule" => Check::Rule(expected.to_owned()),
        "role" => Check::Role(template(expected)?),
        "wasm" => Check::Wasm(plugin(expected)?),
        _ => match literal::kind(kind)? {
            Kind::Literal(value) => Check::Literal {
                source: kind.to_owned(),
                value,
                expected: template(expected)?,
            },
            Kind::Attribute => Check::Credential {
                name: kind.to_owned(),
                expected: template(expected)?,
            },
        },
    }))
}

/// Checks the name of a plugin by the rules of manifests.
fn plugin(name: &str) -> Result<String, RuleError> {
    let is_name = (1..=128).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    match is_name {
        true => Ok(name.to_owned()),
        false => Err(error(
            format!("asks `{}`, which is no name of a plugin", shown(name)),
            "write `wasm:` and the name of a [plugins.…] table: letters, digits and characters of `-_.:`",
        )),
    }
}

fn template(text: &str) -> Result<Template, RuleError> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        plain.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            plain.push('%');
            rest = after;
        } else if let Some((name, after)) = after
            .strip_prefix('(')
            .and_then(|after| after.split_once(")s"))
            .filter(|(name, _)| !name.is_empty() && !name.contains(['(', ')', '%']))
        {
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Target(name.to_owned()));
            rest = after;
        } else {
            return Err(error(
                format!("has a `%` that begins no `%(name)s`: `{}`", shown(text)),
                "write `%(name)s` for a value of the target, `%%` for a percent sign",
            ));
        }
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(Template(parts))
}
