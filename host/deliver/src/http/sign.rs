//! How a receiver knows that a request is ours.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use cairn_effects::rows::to_hex;
use cairn_model::secret::Secret;

/// Signs a request: `v1=` and the HMAC-SHA256, in hexadecimal, of the id, the timestamp and the body with a full stop between each.
pub(super) fn signature(key: &Secret, id: &str, timestamp: &str, body: &str) -> String {
    // A key of any length will do.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()) else {
        return String::new();
    };
    for part in [id, ".", timestamp, ".", body] {
        mac.update(part.as_bytes());
    }
    format!("v1={}", to_hex(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compared with `printf 'id.1.{}' | openssl dgst -sha256 -hmac key`.
    #[test]
    fn a_signature_is_that_of_other_programs() {
        let expected = "v1=e4f5663f601f246c27a7d7e557e7e5af37ee90d580f73c9476abc8f8841a955b";
        assert_eq!(signature(&Secret::new("key"), "id", "1", "{}"), expected);
    }
}
