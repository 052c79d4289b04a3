//! `cairn token …`: the tokens that clients of the server identify themselves with.

use std::time::Duration;

use cairn::clock::{Clock as _, SystemClock, Timestamp};
use cairn::store::tokens::Token;
use cairn::token;
use cairn::{Diagnostic, StoreError};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::args::{Format, duration, name, word};
use crate::exit::Failure;
use crate::output;
use crate::page::Page;
use crate::session::Session;

/// The most projects, and the most roles, of a token.
const MOST: usize = 64;

/// Manage the tokens that clients of `cairn serve` identify themselves with
#[derive(Debug, Subcommand)]
pub enum Tokens {
    Create(Create),
    /// List the tokens, the oldest first, also those that have expired or were revoked
    List(List),
    Revoke(Revoke),
}

/// Create a token, and print it
///
/// This is the only time that it is shown: the database holds its SHA-256 digest. A client sends it as `Authorization: Bearer TOKEN`. Its
/// requests are made for this user; one with several projects names one of them in the header `Cairn-Project`.
#[derive(Args, Debug)]
pub struct Create {
    /// The user that its requests are made for
    #[arg(long, value_name = "USER", value_parser = name)]
    user: String,
    /// A project that its requests may be made for; may be repeated
    #[arg(long = "project", value_name = "PROJECT", value_parser = name, required = true)]
    projects: Vec<String>,
    /// A role of the user; may be repeated. The policy decides which roles make an admin
    #[arg(long = "role", value_name = "ROLE", value_parser = word)]
    roles: Vec<String>,
    /// How long it is valid, such as 90d [default: until it is revoked]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    expires: Option<Duration>,
    #[command(flatten)]
    format: Format,
}

#[derive(Args, Debug)]
pub struct List {
    #[command(flatten)]
    page: Page,
}

/// Revoke a token, and end the dashboard's sessions that were opened with it
///
/// A running server that has just used the token refuses it after a second at the latest. Flows that were asked for with it go on.
#[derive(Args, Debug)]
pub struct Revoke {
    /// Id of the token, as `cairn token list` shows it
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    format: Format,
}

/// How many tokens are listed by default.
const LISTED: Option<usize> = Some(100);

#[derive(Serialize)]
struct Created<'c> {
    /// The token itself.
    token: &'c str,
    #[serde(flatten)]
    described: &'c Token,
}

/// A token in the list.
#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    token: Token,
    /// `valid`, `expired` or `revoked`.
    state: &'static str,
}

impl Tokens {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(session),
            Self::List(list) => list.run(session),
            Self::Revoke(revoke) => revoke.run(session),
        }
    }
}

impl Create {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let projects = distinct("--project", self.projects)?;
        let roles = distinct("--role", self.roles)?;
        if self.expires.is_some_and(|valid| valid.is_zero()) {
            return Err(Diagnostic::new("`--expires` is no time at all")
                .help("write how long the token is to be valid, such as 90d")
                .into());
        }
        let made = token::Token::generate().map_err(|error| Failure::host(error.to_string()))?;
        let digest = made.digest();
        let described = session.change(&session.operator(), |admin| {
            let now = admin.now();
            let described = Token {
                id: token::id_of(digest),
                user_id: self.user.clone(),
                projects: projects.clone(),
                roles: roles.clone(),
                created_at: now,
                expires_at: self.expires.map(|valid| now.after(valid)),
                revoked_at: None,
            };
            admin.create_token(&described, digest)?;
            Ok(described)
        })?;
        let shown = match self.format.is_json() {
            true => {
                let created = Created {
                    token: made.expose(),
                    described: &described,
                };
                output::document_text(self.format, &created)?
            }
            false => {
                let valid = match described.expires_at {
                    Some(end) => format!("is valid until {end}"),
                    None => "is valid until it is revoked".to_owned(),
                };
                session.note(&format!(
                    "token {} {valid}; it is shown this once only",
                    described.id
                ));
                format!("{}\n", made.expose())
            }
        };
        output::write(&shown).map_err(|error| {
            let message = format!(
                "the token {} was created, and could not be printed: {error}",
                described.id
            );
            let mut failure = Failure::host(message);
            let help = format!(
                "revoke it with `cairn token revoke {}`, and create another one",
                described.id
            );
            failure.diagnostic = failure.diagnostic.help(help);
            failure
        })
    }
}

/// Returns the values of an option without repetitions, in their order.
fn distinct(option: &str, values: Vec<String>) -> Result<Vec<String>, Diagnostic> {
    let mut kept: Vec<String> = Vec::new();
    for value in values {
        if !kept.contains(&value) {
            kept.push(value);
        }
        if kept.len() > MOST {
            return Err(
                Diagnostic::new(format!("`{option}` is given more than {MOST} times"))
                    .help("create several tokens"),
            );
        }
    }
    Ok(kept)
}

impl List {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let limit = self.page.to_read(LISTED);
        let operator = session.operator();
        let tokens = session
            .reader()?
            .view(&operator)
            .tokens(self.page.cursor(), limit)?;
        let now = SystemClock.now();
        let rows = tokens.into_iter().map(|token| Row {
            state: state(&token, now),
            token,
        });
        let id = |row: &Row| row.token.id.clone();
        self.page.show(session, rows.collect(), LISTED, id, text)
    }
}

fn state(token: &Token, now: Timestamp) -> &'static str {
    match (token.revoked_at, token.is_valid(now)) {
        (Some(_), _) => "revoked",
        (None, true) => "valid",
        (None, false) => "expired",
    }
}

fn text(rows: &[Row]) -> String {
    let rows = rows.iter().map(|Row { token, state }| {
        let end = token.revoked_at.or(token.expires_at);
        vec![
            token.id.clone(),
            token.user_id.clone(),
            token.projects.join(", "),
            match token.roles.is_empty() {
                true => "-".to_owned(),
                false => token.roles.join(", "),
            },
            token.created_at.to_string(),
            (*state).to_owned(),
            end.map_or_else(|| "-".to_owned(), |end| end.to_string()),
        ]
    });
    let heads = [
        "id", "user", "projects", "roles", "created", "state", "until",
    ];
    output::table(&heads, rows)
}

impl Revoke {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let token = session.store()?.admin(&session.operator(), |admin| {
            admin.revoke_token(&self.id)?;
            let token = admin.view().token(&self.id)?;
            Ok::<_, StoreError>(token)
        })?;
        match (self.format.is_json(), token) {
            (true, token) => output::document(self.format, &token),
            (false, Some(token)) => output::print(&format!("revoked {}\n", token.id)),
            (false, None) => Ok(()),
        }
    }
}
