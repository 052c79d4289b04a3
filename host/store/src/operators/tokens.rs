//! Tokens of clients of the server, and sessions of its dashboard. Only digests of either are stored.

use serde::Serialize;
use serde_json::json;

use cairn_effects::rows::Cell;
use cairn_model::clock::{self, Timestamp};
use cairn_model::value::Digest;

use super::admin::{Admin, not_found};
use super::audit::Change;
use super::view::View;
use crate::StoreError;
use crate::sql::{Columns, SqlError};

/// A client's token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Token {
    /// Names it to operators; it is no secret.
    pub id: String,
    /// The user that its requests are made for.
    pub user_id: String,
    /// The projects that its requests may be made for; at least one.
    pub projects: Vec<String>,
    /// The roles of the user.
    pub roles: Vec<String>,
    /// When it was created.
    #[serde(serialize_with = "clock::as_text")]
    pub created_at: Timestamp,
    /// From when on it is refused.
    #[serde(serialize_with = "clock::as_optional_text")]
    pub expires_at: Option<Timestamp>,
    /// When an operator revoked it.
    #[serde(serialize_with = "clock::as_optional_text")]
    pub revoked_at: Option<Timestamp>,
}

impl Token {
    /// Returns whether requests with it are served.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// Who is logged in at the dashboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The id of the token that was given at login; `None` for a user with a password.
    pub token: Option<String>,
    /// The user.
    pub user_id: String,
    /// The project that was chosen.
    pub project_id: String,
    /// When the login was.
    pub created_at: Timestamp,
    /// When it was last used.
    pub seen_at: Timestamp,
}

const TOKEN: &str =
    "SELECT id, user_id, projects, roles, created_at, expires_at, revoked_at FROM tokens";

impl View<'_> {
    /// Returns the tokens, oldest first, also those that are not valid any more. They follow the one with the id `after`, if given, and are
    /// at most `limit`.
    ///
    /// # Errors
    /// `NotFound` when there is no such token; [`StoreError::Database`].
    pub fn tokens(&self, after: Option<&str>, limit: usize) -> Result<Vec<Token>, StoreError> {
        let mut statement = TOKEN.to_owned();
        let mut parameters: Vec<Cell> = vec![i64::try_from(limit).unwrap_or(i64::MAX).into()];
        if let Some(after) = after {
            let found = self.token(after)?;
            let found = found.ok_or_else(|| not_found("token", after))?;
            statement += " WHERE (created_at > $2 OR (created_at = $2 AND id > $3))";
            parameters.extend([found.created_at.into(), after.into()]);
        }
        statement += " ORDER BY created_at, id LIMIT $1";
        let rows = self.sql().query(&statement, &parameters)?;
        rows.iter().map(|row| Ok(token(Columns(row))?)).collect()
    }

    /// Returns the token with this digest, also if it is not valid any more.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn token_of(&self, digest: Digest) -> Result<Option<Token>, StoreError> {
        self.one_token("digest", &digest.to_string())
    }

    /// Returns the token with this id.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn token(&self, id: &str) -> Result<Option<Token>, StoreError> {
        self.one_token("id", id)
    }

    fn one_token(&self, column: &str, value: &str) -> Result<Option<Token>, StoreError> {
        let statement = format!("{TOKEN} WHERE {column} = $1");
        let rows = self.sql().query(&statement, &[value.into()])?;
        Ok(rows.first().map(|row| token(Columns(row))).transpose()?)
    }

    /// Returns the session with this digest.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn session(&self, digest: Digest) -> Result<Option<Session>, StoreError> {
        let statement = "SELECT token, user_id, project_id, created_at, seen_at FROM sessions WHERE digest = $1";
        let rows = self
            .sql()
            .query(statement, &[digest.to_string().as_str().into()])?;
        Ok(rows.first().map(|row| session(Columns(row))).transpose()?)
    }
}

impl Admin<'_> {
    /// Creates a token.
    ///
    /// # Errors
    /// `AdminRequired`; [`StoreError::Database`], also when the id or the digest is in use.
    pub fn create_token(&mut self, token: &Token, digest: Digest) -> Result<(), StoreError> {
        self.require_admin("create tokens")?;
        let statement =
            "INSERT INTO tokens (id, digest, user_id, projects, roles, created_at, expires_at)
                         VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let parameters: [Cell; 7] = [
            token.id.as_str().into(),
            digest.to_string().as_str().into(),
            token.user_id.as_str().into(),
            serde_json::json!(token.projects)
                .to_string()
                .as_str()
                .into(),
            serde_json::json!(token.roles).to_string().as_str().into(),
            token.created_at.into(),
            token.expires_at.into(),
        ];
        self.execute(statement, &parameters)?;
        self.record(Change {
            action: "token.create",
            subject: &token.id,
            after: json!({"user": token.user_id, "projects": token.projects, "roles": token.roles,
                          "expires_at": token.expires_at.map(|end| end.to_string())}),
            ..Change::default()
        })
    }

    /// Revokes a token, and ends the sessions that it opened. Returns when it was revoked, which may be earlier.
    ///
    /// # Errors
    /// `AdminRequired`; `NotFound`; [`StoreError::Database`].
    pub fn revoke_token(&mut self, id: &str) -> Result<Timestamp, StoreError> {
        self.require_admin("revoke tokens")?;
        let now = self.now();
        let found = self.view().token(id)?;
        let found = found.ok_or_else(|| not_found("token", id))?;
        let statement = "UPDATE tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
        let revoked = self.execute(statement, &[id.into(), now.into()])?;
        self.execute("DELETE FROM sessions WHERE token = $1", &[id.into()])?;
        if revoked > 0 {
            self.record(Change {
                action: "token.revoke",
                subject: id,
                before: json!({"user": found.user_id}),
                after: json!({"user": found.user_id, "revoked_at": now.to_string()}),
                ..Change::default()
            })?;
        }
        Ok(found.revoked_at.unwrap_or(now))
    }

    /// Opens a session.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn open_session(&mut self, session: &Session, digest: Digest) -> Result<(), StoreError> {
        let statement = "INSERT INTO sessions (digest, token, user_id, project_id, created_at, seen_at) VALUES ($1, $2, $3, $4, $5, $6)";
        let parameters: [Cell; 6] = [
            digest.to_string().as_str().into(),
            session.token.as_deref().into(),
            session.user_id.as_str().into(),
            session.project_id.as_str().into(),
            session.created_at.into(),
            session.seen_at.into(),
        ];
        self.execute(statement, &parameters).map(drop)
    }

    /// Records that a session is in use, and removes those that were last used before `idle_since`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn touch_session(
        &mut self,
        digest: Digest,
        idle_since: Timestamp,
    ) -> Result<(), StoreError> {
        let (digest, now) = (digest.to_string(), self.now());
        let statement = "UPDATE sessions SET seen_at = $2 WHERE digest = $1";
        self.execute(statement, &[digest.as_str().into(), now.into()])?;
        self.execute(
            "DELETE FROM sessions WHERE seen_at < $1",
            &[idle_since.into()],
        )
        .map(drop)
    }

    /// Ends a session.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn close_session(&mut self, digest: Digest) -> Result<(), StoreError> {
        let digest = digest.to_string();
        self.execute(
            "DELETE FROM sessions WHERE digest = $1",
            &[digest.as_str().into()],
        )
        .map(drop)
    }
}

fn token(row: Columns<'_>) -> Result<Token, SqlError> {
    Ok(Token {
        id: row.text(0)?,
        user_id: row.text(1)?,
        projects: row.texts(2)?,
        roles: row.texts(3)?,
        created_at: Timestamp(row.int(4)?),
        expires_at: row.optional_int(5)?.map(Timestamp),
        revoked_at: row.optional_int(6)?.map(Timestamp),
    })
}

fn session(row: Columns<'_>) -> Result<Session, SqlError> {
    Ok(Session {
        token: row.optional_text(0)?,
        user_id: row.text(1)?,
        project_id: row.text(2)?,
        created_at: Timestamp(row.int(3)?),
        seen_at: Timestamp(row.int(4)?),
    })
}
