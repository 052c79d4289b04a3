//! Who is asking, and what the operator's rules let them do.

pub(crate) mod basic;
mod held;
pub(crate) mod peer;
pub(crate) mod session;
mod throttle;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cairn::config::{AuthConfig, ServeConfig};
use cairn::policy::Policy;
use cairn::trace::TraceContext;
use cairn::value::Digest;
use cairn::{Diagnostic, Identity, Object};

use crate::error::ApiError;
use crate::readers::Readers;
use crate::request_id::RequestId;
use crate::runner::Runner;

use basic::Users;
use held::HeldSessions;
use peer::Peer;
use throttle::Throttle;
use tokens::Tokens;

/// The header by which a caller with several projects names one.
const PROJECT: &str = "cairn-project";

/// Checks who callers are.
pub(crate) struct Auth {
    mode: AuthConfig,
    operator: Identity,
    tokens: Tokens,
    users: Option<Users>,
    throttle: Throttle,
    policy: Arc<Policy>,
    readers: Arc<Readers>,
    runner: Arc<Runner>,
    /// How long a session lasts without use.
    idle: Duration,
    /// Those that could not be written to the database yet.
    held: HeldSessions,
    /// Makes the tokens of forms where there are no sessions.
    form_secret: [u8; 32],
}

/// What it takes to find out who is asking.
pub(crate) struct Means {
    pub(crate) operator: Identity,
    pub(crate) policy: Arc<Policy>,
    pub(crate) readers: Arc<Readers>,
    pub(crate) runner: Arc<Runner>,
}

/// Who is asking.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The user in one project.
    pub(crate) identity: Identity,
    /// How the caller showed who it is.
    pub(crate) proof: Proof,
}

/// How a caller showed who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Not at all.
    None,
    /// By the token with this digest.
    Token(Digest),
    /// By a password with this request.
    Password,
    /// By the cookie of a login, with this digest.
    Session(Digest),
}

/// A user with projects and roles, before one project was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) user_id: String,
    pub(crate) projects: Vec<String>,
    pub(crate) roles: Vec<String>,
}

impl Auth {
    /// Reads what `[serve]` names.
    ///
    /// # Errors
    /// When the file of users cannot be read or is wrong, or there is no randomness.
    pub(crate) fn new(config: &ServeConfig, means: Means) -> Result<Self, Diagnostic> {
        let mode = config.auth.clone().unwrap_or(AuthConfig::None);
        let users = match &mode {
            AuthConfig::Basic(file) => Some(Users::open(file)?),
            AuthConfig::None | AuthConfig::Tokens => None,
        };
        let mut form_secret = [0; 32];
        getrandom::fill(&mut form_secret)
            .map_err(|error| Diagnostic::new(format!("this machine has no randomness: {error}")))?;
        Ok(Self {
            mode,
            tokens: Tokens::default(),
            users,
            throttle: Throttle::default(),
            operator: means.operator,
            policy: means.policy,
            readers: means.readers,
            runner: means.runner,
            idle: config.idle,
            held: HeldSessions::default(),
            form_secret,
        })
    }

    /// Returns how callers show who they are.
    pub(crate) fn mode(&self) -> &AuthConfig {
        &self.mode
    }

    /// Returns how a client is told to show who it is.
    fn challenge(&self) -> &'static str {
        match self.mode {
            AuthConfig::Basic(_) => "Basic realm=\"cairn\", charset=\"UTF-8\"",
            AuthConfig::None | AuthConfig::Tokens => "Bearer realm=\"cairn\"",
        }
    }

    fn refused(&self, detail: &str) -> ApiError {
        ApiError::unauthorized(self.challenge(), detail)
    }

    /// Finds out who sends a request.
    ///
    /// # Errors
    /// 401 when the caller does not show it; 400 when it does not name one of its projects.
    pub(crate) async fn caller_of(&self, parts: &Parts) -> Result<Caller, ApiError> {
        let peer = parts.extensions.get::<Peer>().cloned().unwrap_or_default();
        let request_id = parts.extensions.get::<RequestId>();
        let header = parts.headers.get(AUTHORIZATION);
        let header = header.map(|value| value.to_str().unwrap_or_default());
        let project = parts.headers.get(PROJECT);
        let project = project.map(|value| value.to_str().unwrap_or_default());
        let (user, proof, project) = match (&self.mode, header) {
            (AuthConfig::None, _) => {
                let identity = Identity {
                    request_id: request_id.map(RequestId::to_string).unwrap_or_default(),
                    trace: parts.extensions.get::<TraceContext>().copied(),
                    ..self.operator.clone()
                };
                return Ok(Caller {
                    identity: identity.from_source(peer.source()),
                    proof: Proof::None,
                });
            }
            (AuthConfig::Tokens, Some(header)) => {
                let token = scheme(header, "Bearer").ok_or_else(|| {
                    self.refused("send the token as `Authorization: Bearer TOKEN`")
                })?;
                let (user, digest) = self.user_of_token(token, &peer).await?;
                (user, Proof::Token(digest), project.map(str::to_owned))
            }
            (AuthConfig::Basic(_), Some(header)) => {
                let (name, password) = scheme(header, "Basic")
                    .and_then(credentials)
                    .ok_or_else(|| self.refused("send a user and a password"))?;
                let user = self.user_of_password(&name, &password, &peer).await?;
                (user, Proof::Password, project.map(str::to_owned))
            }
            (_, None) => {
                let Some((session, digest)) = self.session_of(&parts.headers, &peer).await? else {
                    return Err(self.refused("the request does not say who sends it"));
                };
                let user = self.user_of_session(&session).await?;
                (user, Proof::Session(digest), Some(session.project_id))
            }
        };
        let project = choose(&user, project)?;
        let identity = Identity {
            request_id: request_id.map(RequestId::to_string).unwrap_or_default(),
            trace: parts.extensions.get::<TraceContext>().copied(),
            is_admin: self.policy.is_admin(&user.roles),
            roles: user.roles,
            ..Identity::new(user.user_id, project)
        };
        Ok(Caller {
            identity: identity.from_source(peer.source()),
            proof,
        })
    }

    /// Finds the user of a token.
    pub(crate) async fn user_of_token(
        &self,
        token: &str,
        peer: &Peer,
    ) -> Result<(User, Digest), ApiError> {
        let digest = Digest::of(token.as_bytes());
        match self.tokens.user(&self.readers, digest).await? {
            Some(user) => Ok((user, digest)),
            None => {
                self.throttle.admit(peer.key())?;
                self.throttle.failed(peer.key());
                Err(self.refused("the token is unknown, has expired or was revoked"))
            }
        }
    }

    /// Finds the user of a name and a password.
    pub(crate) async fn user_of_password(
        &self,
        name: &str,
        password: &str,
        peer: &Peer,
    ) -> Result<User, ApiError> {
        self.throttle.admit(peer.key())?;
        let Some(users) = &self.users else {
            return Err(self.refused("this server knows no passwords"));
        };
        match users.check(name, password).await? {
            Some(user) => Ok(user),
            None => {
                self.throttle.failed(peer.key());
                Err(self.refused("the user or the password is wrong"))
            }
        }
    }

    /// Returns whether what a caller showed still stands: a stream of events asks this again and again.
    pub(crate) async fn still_stands(&self, caller: &Caller) -> bool {
        let found = match &caller.proof {
            Proof::None => return true,
            Proof::Password => match &self.users {
                Some(users) => users.find(&caller.identity.user_id).await,
                None => Ok(None),
            },
            Proof::Token(digest) => self.tokens.user(&self.readers, *digest).await,
            Proof::Session(digest) => match self.open_session(*digest).await {
                Ok(Some(session)) => return self.user_of_session(&session).await.is_ok(),
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            },
        };
        // While the database is away nothing is known, and nothing is sent either.
        !matches!(found, Ok(None))
    }
}

/// Chooses the project of a request.
pub(crate) fn choose(user: &User, named: Option<String>) -> Result<String, ApiError> {
    match (named, user.projects.as_slice()) {
        (Some(named), projects) if projects.contains(&named) => Ok(named),
        (Some(named), _) => Err(ApiError::forbidden(
            "ProjectNotAllowed",
            format!("`{}` may not ask for project `{named}`", user.user_id),
        )),
        (None, [only]) => Ok(only.clone()),
        (None, projects) => Err(ApiError::bad(
            "ProjectNotNamed",
            format!(
                "`{}` has {} projects, and the request names none",
                user.user_id,
                projects.len()
            ),
        )
        .help("name one in the header `Cairn-Project`")),
    }
}

/// Returns what follows a scheme in the header `Authorization`.
fn scheme<'h>(header: &'h str, name: &str) -> Option<&'h str> {
    let (scheme, rest) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case(name).then(|| rest.trim())
}

/// Reads the name and the password of `Basic`.
fn credentials(encoded: &str) -> Option<(String, String)> {
    let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

impl Caller {
    /// Checks an operator's rule for something that belongs to this project; for what belongs to none, `None`.
    ///
    /// # Errors
    /// 403 with the rule's name.
    pub(crate) fn must(
        &self,
        policy: &Policy,
        rule: &str,
        project_id: Option<&str>,
    ) -> Result<(), ApiError> {
        match self.may(policy, rule, project_id) {
            true => Ok(()),
            false => Err(ApiError::forbidden(
                "PolicyNotAuthorized",
                format!(
                    "the rule `{rule}` does not let `{}` do this",
                    self.identity.user_id
                ),
            )),
        }
    }

    /// Returns whether an operator's rule lets the caller do something.
    pub(crate) fn may(&self, policy: &Policy, rule: &str, project_id: Option<&str>) -> bool {
        let mut target = Object::new();
        if let Some(project_id) = project_id {
            target.insert("project_id".to_owned(), project_id.into());
        }
        policy.check(rule, &(&self.identity).into(), &target)
    }

    /// Returns the project whose things are shown; `None` for an admin, who sees all.
    pub(crate) fn scope(&self) -> Option<&str> {
        (!self.identity.is_admin).then_some(self.identity.project_id.as_str())
    }
}
