//! Tokens that clients of the server identify themselves with: 256 random bits. A database holds their digests only.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::value::Digest;

/// The start of every token, by which people and scanners of leaked secrets know one.
const PREFIX: &str = "cairn_";

/// Random bytes of a token.
const BYTES: usize = 32;

/// Characters of a token: base64 writes three bytes as four characters.
const LENGTH: usize = PREFIX.len() + (BYTES * 4).div_ceil(3);

/// Characters of a token's id.
const ID: usize = 12;

/// A new token. It is part of no message: `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Zeroizing<String>);

/// The system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers, which a token is made of: {0}")]
pub struct NoRandomness(getrandom::Error);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// Makes a token of 256 random bits of the system.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        getrandom::fill(&mut *bytes).map_err(NoRandomness)?;
        // Of its final size: a text that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(LENGTH));
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
        Ok(Self(text))
    }

    /// Returns the token itself: `cairn_` and 43 characters of base64url.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the digest under which it is stored.
    pub fn digest(&self) -> Digest {
        digest_of(&self.0)
    }
}

/// Returns the digest under which a token is stored. Any text has one, so that whoever looks it up need not check the text before.
pub fn digest_of(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

/// Returns the id of the token with this digest, which operators name it by: the first 12 digits of the digest. It is no secret, and says
/// nothing of the token.
pub fn id_of(digest: Digest) -> String {
    let mut id = digest.to_string();
    id.truncate(ID);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_32_random_bytes_in_base64url() {
        let token = Token::generate().unwrap();
        assert_eq!(token.expose().len(), LENGTH);
        assert_eq!(LENGTH, 49);
        let random = token.expose().strip_prefix(PREFIX).unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(random).unwrap();
        assert_eq!(bytes.len(), BYTES);
        assert_ne!(token, Token::generate().unwrap());
    }

    #[test]
    fn its_digest_is_that_of_its_text_and_its_id_the_start_of_that() {
        let token = Token::generate().unwrap();
        assert_eq!(token.digest(), Digest::of(token.expose().as_bytes()));
        assert_eq!(token.digest(), digest_of(token.expose()));
        let id = id_of(token.digest());
        assert_eq!(id.len(), ID);
        assert!(token.digest().to_string().starts_with(&id));
    }

    #[test]
    fn it_is_not_shown() {
        let token = Token::generate().unwrap();
        assert_eq!(format!("{token:?}"), "Token(…)");
    }
}
