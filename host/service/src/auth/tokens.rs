//! Tokens of the database, remembered for a moment.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use cairn::Identity;
use cairn::clock::{Clock as _, SystemClock};
use cairn::store::tokens::Token;
use cairn::value::Digest;
use parking_lot::Mutex;

use super::User;
use crate::error::ApiError;
use crate::readers::Readers;

/// How long a token is known to be valid: a revocation acts after this time at the latest.
const FRESH: Duration = Duration::from_secs(1);

/// How many tokens are remembered.
const MOST: usize = 10_000;

/// Looks up the users of tokens.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<HashMap<Digest, (Instant, Token)>>);

impl Tokens {
    /// Returns the user of the token with this digest; `None` when it is unknown or not valid.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn user(
        &self,
        readers: &Readers,
        digest: Digest,
    ) -> Result<Option<User>, ApiError> {
        let known = self.0.lock().get(&digest).cloned();
        let token = match known {
            Some((at, token)) if at.elapsed() < FRESH => Some(token),
            _ => {
                let found = readers
                    .read(Identity::default(), move |view| Ok(view.token_of(digest)?))
                    .await?;
                let mut known = self.0.lock();
                match &found {
                    Some(token) => {
                        if known.len() >= MOST {
                            known.clear();
                        }
                        known.insert(digest, (Instant::now(), token.clone()));
                    }
                    None => drop(known.remove(&digest)),
                }
                found
            }
        };
        let token = token.filter(|token| token.is_valid(SystemClock.now()));
        Ok(token.map(|token| User {
            user_id: token.user_id,
            projects: token.projects,
            roles: token.roles,
        }))
    }
}
