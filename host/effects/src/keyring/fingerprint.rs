use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::MasterKey;

/// The length in bytes.
const LENGTH: usize = 16;

/// What is hashed under a master key.
const TEXT: &[u8] = b"cairn: fingerprint of a master key, 1";

/// A keyed hash by which a master key is recognized. Nothing of the key follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; LENGTH]);

impl MasterKey {
    /// Returns the key's fingerprint: the first 16 bytes of HMAC-SHA-256 of a constant under the key.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash =
            Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes a key of any length");
        hash.update(TEXT);
        let hash: [u8; 32] = hash.finalize().into_bytes().into();
        let mut fingerprint = [0; LENGTH];
        fingerprint.copy_from_slice(&hash[..LENGTH]);
        Fingerprint(fingerprint)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The text is not a fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no fingerprint of a master key: 32 hexadecimal digits are expected", .0.escape_debug())]
pub struct ParseFingerprintError(String);

impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || ParseFingerprintError(text.to_owned());
        if text.len() != 2 * LENGTH || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(invalid());
        }
        let bits = u128::from_str_radix(text, 16).map_err(|_| invalid())?;
        Ok(Self(bits.to_be_bytes()))
    }
}
