//! URLs in settings: split far enough to check them. They hold no password.

use std::net::IpAddr;

use cairn_model::error::Diagnostic;

use crate::document::Item;

/// The parts of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// In lower case, without `://`.
    pub scheme: String,
    /// The user before `@`, as it is written.
    pub user: Option<String>,
    /// A name or an address; one of IPv6 in brackets.
    pub host: String,
    /// The port, where one is named.
    pub port: Option<u16>,
    /// What follows, from the first `/` or `?`; empty where nothing does.
    pub path: String,
}

impl Url {
    /// Splits a URL.
    ///
    /// # Errors
    /// The rest of a sentence that begins with the URL's key. It repeats no part of a URL with a password.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("is no URL")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err("holds a password");
        }
        if text.contains(|c: char| c.is_control() || c.is_whitespace() || !c.is_ascii()) {
            return Err("has characters that a URL cannot have: write them as %XX");
        }
        if path.contains('#') {
            return Err("has a fragment, which is never sent");
        }
        let digits = place.rfind(':').filter(|at| !place[*at..].contains(']'));
        let (host, port) = match digits {
            Some(at) => {
                let port = place[at + 1..].parse::<u16>();
                (
                    &place[..at],
                    Some(port.map_err(|_| "has no port from 0 to 65535 after its host")?),
                )
            }
            None => (place, None),
        };
        if host.is_empty() {
            return Err("names no host");
        }
        Ok(Self {
            scheme: scheme.to_ascii_lowercase(),
            user: user.map(str::to_owned),
            host: host.to_ascii_lowercase(),
            port,
            path: path.to_owned(),
        })
    }

    /// Reads a URL. Its password belongs into the setting `secret`.
    ///
    /// # Errors
    /// It is none, or holds a password.
    pub(super) fn read(item: &Item<'_>, secret: &str) -> Result<Self, Diagnostic> {
        Self::parse(item.text()?).map_err(|problem| {
            let error = item.error(problem);
            match problem {
                "holds a password" => {
                    error.help(format!("leave it out, and name it with `{secret}`"))
                }
                _ => error.help("write SCHEME://HOST:PORT/PATH"),
            }
        })
    }

    /// Checks that requests to the URL are encrypted, unless they stay on this machine.
    ///
    /// # Errors
    /// It is neither `https://`, nor `http://` on this machine.
    pub(super) fn require_tls(&self, item: &Item<'_>) -> Result<(), Diagnostic> {
        let problem = match self.scheme.as_str() {
            "https" => return Ok(()),
            "http" if self.is_loopback() => return Ok(()),
            "http" => "is not encrypted, and its host is another machine".to_owned(),
            other => format!("begins with `{}://`", other.escape_debug()),
        };
        Err(item.error(problem).help("write https://"))
    }

    /// Whether the host is this machine, by an address or as `localhost`.
    pub fn is_loopback(&self) -> bool {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost"
            || host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }

    /// The URL, as it was written except for letter case.
    pub fn text(&self) -> String {
        let user = self.user.as_ref();
        let user = user.map_or_else(String::new, |user| format!("{user}@"));
        let port = self
            .port
            .map_or_else(String::new, |port| format!(":{port}"));
        format!("{}://{user}{}{port}{}", self.scheme, self.host, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_split() {
        let url = Url::parse("AMQPS://cairn@Broker.example:5671/%2f?a=b").unwrap();
        assert_eq!(
            (url.scheme.as_str(), url.user.as_deref(), url.host.as_str()),
            ("amqps", Some("cairn"), "broker.example")
        );
        assert_eq!((url.port, url.path.as_str()), (Some(5671), "/%2f?a=b"));
        assert_eq!(url.text(), "amqps://cairn@broker.example:5671/%2f?a=b");
        let url = Url::parse("http://[::1]:80").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("[::1]", Some(80)));
    }

    #[test]
    fn this_machine_is_known_by_its_addresses() {
        for (host, expected) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("[::1]", true),
            ("127.0.0.1.example.com", false),
            ("localhost.example.com", false),
            ("10.0.0.1", false),
            ("[::2]", false),
        ] {
            let url = Url::parse(&format!("http://{host}/x")).unwrap();
            assert_eq!(url.is_loopback(), expected, "{host}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused_without_its_password() {
        for (text, expected) in [
            ("broker", "is no URL"),
            ("amqp://u:secret@h/", "holds a password"),
            ("amqp://u:@h/", "holds a password"),
            ("http:///x", "names no host"),
            (
                "http://h:99999/",
                "has no port from 0 to 65535 after its host",
            ),
            ("http://h/#x", "has a fragment, which is never sent"),
            (
                "http://h/\n",
                "has characters that a URL cannot have: write them as %XX",
            ),
        ] {
            assert_eq!(Url::parse(text), Err(expected), "{text}");
        }
    }
}
