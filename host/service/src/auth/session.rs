//! Logins of the dashboard: a cookie with random bits, of which the database has the digest.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use cairn::clock::{Clock as _, SystemClock};
use cairn::config::AuthConfig;
use cairn::store::tokens::Session;
use cairn::value::Digest;
use cairn::{Host, Identity};
use cookie::{Cookie, SameSite};
use sha2::{Digest as _, Sha256};

use super::peer::Peer;
use super::{Auth, Caller, Proof, User, choose};
use crate::error::ApiError;
use crate::readers::blocking;

/// The cookie's name in clear text, on loopback.
const PLAIN: &str = "cairn";

/// The cookie's name with TLS: browsers take it only with `Secure`, for the whole host, and from no subdomain.
const SECURE: &str = "__Host-cairn";

/// How long after its last use a session is not written to the database again.
const TOUCH: Duration = Duration::from_secs(60);

/// What a person gives to log in.
pub(crate) enum Login {
    /// A token.
    Token(String),
    /// A user's name and password.
    Password(String, String),
}

impl Auth {
    /// Opens a session, and returns its cookie. While the database is held, the session is one of this process alone.
    ///
    /// # Errors
    /// 401 when the login is wrong, 400 when it does not name one of several projects; those of the database.
    pub(crate) async fn log_in(
        &self,
        login: Login,
        project: Option<String>,
        peer: &Peer,
    ) -> Result<Cookie<'static>, ApiError> {
        let (user, token) = match login {
            Login::Token(text) => {
                let (user, digest) = self.user_of_token(text.trim(), peer).await?;
                let found = self
                    .readers
                    .read(Identity::default(), move |view| Ok(view.token_of(digest)?));
                (user, found.await?.map(|token| token.id))
            }
            Login::Password(name, password) => {
                (self.user_of_password(&name, &password, peer).await?, None)
            }
        };
        let project_id = choose(&user, project.filter(|project| !project.is_empty()))?;
        let mut bits = [0; 32];
        getrandom::fill(&mut bits)
            .map_err(|error| ApiError::busy(format!("this machine has no randomness: {error}")))?;
        let value = BASE64_URL_SAFE_NO_PAD.encode(bits);
        let digest = Digest::of(value.as_bytes());
        let now = SystemClock.now();
        let session = Session {
            token,
            user_id: user.user_id,
            project_id,
            created_at: now,
            seen_at: now,
        };
        match self.runner.host() {
            Ok(host) => write(host, session, digest).await?,
            Err(_) => self.held.keep(digest, session, now.before(self.idle)),
        }
        Ok(cookie_of(value, peer))
    }

    /// Writes a session that was opened while the database was held, once it is not any more. What fails is tried again with the next request.
    async fn settle(&self, digest: Digest) {
        let Ok(host) = self.runner.host() else { return };
        let Some(session) = self.held.claim(digest) else {
            return;
        };
        match write(host, session, digest).await {
            // It was ended meanwhile.
            Ok(()) if !self.held.remove(digest) => {
                if let Err(error) = close(host, digest).await {
                    let detail = error.problem.detail;
                    tracing::warn!(detail, "a session that was ended may be open");
                }
            }
            Ok(()) => {}
            Err(error) => {
                let detail = error.problem.detail;
                tracing::debug!(detail, "a session was not written");
                self.held.unclaim(digest);
            }
        }
    }

    /// Ends the session of a caller; nothing of one without.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn log_out(&self, caller: &Caller) -> Result<(), ApiError> {
        let Proof::Session(digest) = caller.proof else {
            return Ok(());
        };
        let was_held = self.held.remove(digest);
        match self.runner.host() {
            Ok(host) => close(host, digest).await,
            Err(_) if was_held => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Returns the session of a request's cookie, if it is open.
    pub(crate) async fn session_of(
        &self,
        headers: &HeaderMap,
        peer: &Peer,
    ) -> Result<Option<(Session, Digest)>, ApiError> {
        let name = name(peer);
        let cookies = headers.get_all(COOKIE).iter();
        let cookies = cookies.filter_map(|cookies| cookies.to_str().ok());
        let mut cookies = cookies.flat_map(|cookies| Cookie::split_parse(cookies).flatten());
        let Some(cookie) = cookies.find(|cookie| cookie.name() == name) else {
            return Ok(None);
        };
        let digest = Digest::of(cookie.value().as_bytes());
        let Some(session) = self.open_session(digest).await? else {
            return Ok(None);
        };
        self.held.touch(digest, SystemClock.now());
        self.settle(digest).await;
        if SystemClock.now().since(session.seen_at) > TOUCH
            && let Ok(host) = self.runner.host().cloned()
        {
            let identity = Identity::new(&session.user_id, &session.project_id);
            let idle = self.idle;
            blocking(move || {
                let touched = host.store().admin(&identity, |admin| {
                    let idle_since = admin.now().before(idle);
                    admin.touch_session(digest, idle_since)
                });
                // A session that is read only lasts as long as it would without this use.
                if let Err(error) = touched {
                    tracing::debug!(%error, "the use of a session was not recorded");
                }
                Ok(())
            })
            .await?;
        }
        Ok(Some((session, digest)))
    }

    /// Returns the session with this digest; `None` when it was ended, or not used for too long.
    pub(crate) async fn open_session(&self, digest: Digest) -> Result<Option<Session>, ApiError> {
        let idle = self.idle;
        if let Some(session) = self.held.find(digest, SystemClock.now(), idle) {
            return Ok(Some(session));
        }
        let read = self.readers.read(Identity::default(), move |view| {
            let found = view.session(digest)?;
            Ok(found.filter(|session| view.now().since(session.seen_at) <= idle))
        });
        read.await
    }

    /// Returns the user of a session with today's projects and roles.
    ///
    /// # Errors
    /// 401 when the token was revoked or has expired, or the user is gone.
    pub(crate) async fn user_of_session(&self, session: &Session) -> Result<User, ApiError> {
        let over = || self.refused("the login is over: log in again");
        let Some(id) = session.token.clone() else {
            let users = self.users.as_ref().ok_or_else(over)?;
            return users.find(&session.user_id).await?.ok_or_else(over);
        };
        let read = self.readers.read(Identity::default(), move |view| {
            let token = view.token(&id)?;
            Ok(token.filter(|token| token.is_valid(view.now())))
        });
        let token = read.await?.ok_or_else(over)?;
        Ok(User {
            user_id: token.user_id,
            projects: token.projects,
            roles: token.roles,
        })
    }

    /// Returns the token that this caller's forms must carry: that of a session is the same at each server of the database.
    pub(crate) fn form_token(&self, caller: &Caller) -> String {
        let mut hash = Sha256::new_with_prefix(b"cairn form");
        match &caller.proof {
            Proof::Session(digest) => hash.update(digest.to_string()),
            Proof::None | Proof::Token(_) | Proof::Password => hash.update(self.form_secret),
        }
        BASE64_URL_SAFE_NO_PAD.encode(hash.finalize())
    }

    /// Checks the token of a form.
    ///
    /// # Errors
    /// 403 when it is not this caller's.
    pub(crate) fn check_form(&self, caller: &Caller, token: &str) -> Result<(), ApiError> {
        // The digests are compared, so that the time says nothing of the token.
        let own = Digest::of(self.form_token(caller).as_bytes());
        match own == Digest::of(token.as_bytes()) {
            true => Ok(()),
            false => Err(ApiError::forbidden(
                "FormToken",
                "the form is out of date: load the page again",
            )),
        }
    }

    /// Returns whether callers log in at the dashboard.
    pub(crate) fn asks_for_login(&self) -> bool {
        *self.mode() != AuthConfig::None
    }
}

/// Writes a session to the database.
async fn write(host: &Arc<Host>, session: Session, digest: Digest) -> Result<(), ApiError> {
    let host = Arc::clone(host);
    let identity = Identity::new(&session.user_id, &session.project_id);
    let write = move || {
        let store = host.store();
        Ok(store.admin(&identity, |admin| admin.open_session(&session, digest))?)
    };
    blocking(write).await
}

/// Ends a session in the database.
async fn close(host: &Arc<Host>, digest: Digest) -> Result<(), ApiError> {
    let host = Arc::clone(host);
    let close = move || {
        let store = host.store();
        Ok(store.admin(&Identity::default(), |admin| admin.close_session(digest))?)
    };
    blocking(close).await
}

fn name(peer: &Peer) -> &'static str {
    if peer.is_tls { SECURE } else { PLAIN }
}

fn cookie_of(value: String, peer: &Peer) -> Cookie<'static> {
    Cookie::build((name(peer), value))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(peer.is_tls)
        .build()
}

/// Returns the cookie that removes that of a login.
pub(crate) fn no_cookie(peer: &Peer) -> Cookie<'static> {
    let mut cookie = cookie_of(String::new(), peer);
    cookie.make_removal();
    cookie
}
