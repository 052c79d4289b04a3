//! The origin of a web page, as a browser sends it.

use std::fmt;
use std::str::FromStr;

/// The longest origin, in bytes.
const LONGEST: usize = 300;

/// An origin: a scheme, a host, and a port unless it is the scheme's own. In lower case, as browsers send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebOrigin(String);

impl WebOrigin {
    /// Returns the text of the header `Origin`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for WebOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "is no origin: write a scheme and a host without a path, for example \"https://tools.example\" or \"http://localhost:3000\""
                .to_owned()
        };
        if text.len() > LONGEST {
            return Err(wrong());
        }
        let lower = text.to_ascii_lowercase();
        let (scheme, rest) = lower.split_once("://").ok_or_else(wrong)?;
        let own = match scheme {
            "https" => "443",
            "http" => "80",
            _ => return Err(wrong()),
        };
        let (host, port) = match rest.rsplit_once(':') {
            // An IPv6 address has colons of its own.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (rest, None),
        };
        let is_bracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
        let is_name = !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if !is_bracketed && !is_name {
            return Err(wrong());
        }
        match port {
            None => Ok(Self(lower)),
            Some(port) if port == own => Ok(Self(format!("{scheme}://{host}"))),
            Some(port)
                if port
                    .parse::<u16>()
                    .is_ok_and(|number| number.to_string() == port) =>
            {
                Ok(Self(lower))
            }
            Some(_) => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_as_browsers_send_it() {
        for (written, sent) in [
            ("https://tools.example", "https://tools.example"),
            ("HTTPS://Tools.Example:443", "https://tools.example"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("https://[::1]", "https://[::1]"),
            ("http://10.0.0.1:80", "http://10.0.0.1"),
        ] {
            assert_eq!(written.parse::<WebOrigin>().unwrap().as_str(), sent);
        }
    }

    #[test]
    fn what_is_no_single_origin_is_refused() {
        for wrong in [
            "",
            "*",
            "null",
            "tools.example",
            "https://",
            "https://*.example",
            "https://a/",
            "https://a/b",
            "https://u@a",
            "https://a:",
            "https://a:0x1",
            "https://a:65536",
            "https://a:+1",
            "https://[a]",
            "file://a",
            "https://a b",
        ] {
            assert!(wrong.parse::<WebOrigin>().is_err(), "{wrong}");
        }
    }
}
