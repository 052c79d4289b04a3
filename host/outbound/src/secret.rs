//! Secrets that the host adds to requests.

use cairn_model::secret::Secrets;
use http::{HeaderName, HeaderValue};

use crate::error::OutboundError;
use crate::grant::Auth;

/// A header that the host adds to a request, in the place of the plugin's own of that name. It is not shown.
pub struct SecretHeader {
    pub(crate) name: HeaderName,
    pub(crate) value: HeaderValue,
}

impl SecretHeader {
    /// Makes a header. Returns `None` if the value is not one that a header can have.
    pub fn new(name: HeaderName, value: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        Some(Self { name, value })
    }

    /// Makes the header that a grant asks for. May block, as [`Secrets::value`].
    ///
    /// # Errors
    /// [`OutboundError::Secret`] when there is no such secret, or its value is not one that a header can have.
    pub fn of(auth: &Auth, secrets: &dyn Secrets) -> Result<Self, OutboundError> {
        let failed = |problem: String| OutboundError::Secret {
            name: auth.secret.clone(),
            problem,
        };
        let value = secrets.value(&auth.secret).map_err(failed)?;
        Self::new(auth.header.clone(), value.expose())
            .ok_or_else(|| failed("holds characters that a header cannot have".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use cairn_model::secret::Secret;

    use super::*;

    struct One(&'static str);

    impl Secrets for One {
        fn value(&self, name: &str) -> Result<Secret, String> {
            match name {
                "pdns" => Ok(Secret::new(self.0)),
                _ => Err("is not set up".to_owned()),
            }
        }
    }

    #[test]
    fn a_secret_that_cannot_be_sent_is_named_and_not_shown() {
        let auth = |secret: &str| Auth {
            header: HeaderName::from_static("x-api-key"),
            secret: secret.to_owned(),
        };
        let header = SecretHeader::of(&auth("pdns"), &One("hunter2")).unwrap();
        assert_eq!(header.value, "hunter2");
        assert_eq!(format!("{:?}", header.value), "Sensitive");
        for (name, value, expected) in [
            (
                "pdns",
                "hunter2\r\nX: y",
                "the secret `pdns` holds characters",
            ),
            ("pdns", "hunter2\0", "the secret `pdns` holds characters"),
            ("other", "hunter2", "the secret `other` is not set up"),
        ] {
            let error = SecretHeader::of(&auth(name), &One(value)).err().unwrap();
            let error = error.to_string();
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
