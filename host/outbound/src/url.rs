//! URLs of requests, split and checked.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::path::{canonical, check_query};

/// The scheme of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// In clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// Returns the scheme as written in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Returns the port of a URL that names none.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// The host of a URL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A name, in lower case; one with other letters than ASCII's in its ASCII form (`xn--…`).
    Name(String),
    /// An address. One of IPv4 that is mapped into IPv6 is one of IPv4.
    Address(IpAddr),
}

impl Host {
    /// The name of this machine, which is not looked up: its addresses are 127.0.0.1 and ::1 (RFC 6761).
    pub const LOCALHOST: &str = "localhost";

    /// Parses a host as written in a URL: a name, an address of IPv4, or one of IPv6 in brackets.
    ///
    /// # Errors
    /// The rest of a sentence about the URL. A name whose last part is a number is refused: it is an address in an unusual
    /// notation, such as `127.1`, `0x7f000001` or `2130706433`.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(rest) = text.strip_prefix('[') {
            let address = rest
                .strip_suffix(']')
                .and_then(|text| text.parse::<Ipv6Addr>().ok())
                .ok_or("has no address of IPv6 (without a zone) in its brackets")?;
            return Ok(Self::Address(IpAddr::V6(address).to_canonical()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        if text.is_empty() {
            return Err("names no host");
        }
        if !text.is_ascii() {
            return Err("has a host with other letters than ASCII's: write its ASCII form (xn--…)");
        }
        if text.len() > 253 {
            return Err("has a host that is too long");
        }
        let is_label = |label: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            (1..=63).contains(&label.len()) && label.bytes().all(allowed)
        };
        if !text.split('.').all(is_label) {
            return Err("has a host that is no name: parts of letters, digits, `-` and `_`");
        }
        let last = text.rsplit('.').next().unwrap_or(text);
        if last.starts_with(|c: char| c.is_ascii_digit()) && is_number(last) {
            return Err("has a host that ends with a number: write an address as 192.0.2.1");
        }
        Ok(Self::Name(text.to_ascii_lowercase()))
    }

    /// Returns whether a pattern with this host names an address, or this machine.
    pub(crate) fn is_literal(&self) -> bool {
        match self {
            Self::Address(_) => true,
            Self::Name(name) => name == Self::LOCALHOST,
        }
    }
}

/// Returns whether a resolver could take a label for a number: decimal, octal or hexadecimal.
fn is_number(label: &str) -> bool {
    match label
        .strip_prefix("0x")
        .or_else(|| label.strip_prefix("0X"))
    {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Scheme, host and port of a URL: the server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The scheme.
    pub scheme: Scheme,
    /// The host.
    pub host: Host,
    /// The port, also where it is the scheme's own.
    pub port: u16,
}

impl Origin {
    /// Returns host and port as in the header `Host`, without the scheme's own port.
    pub fn authority(&self) -> String {
        match self.port == self.scheme.default_port() {
            true => self.host.to_string(),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

/// Splits a text into an origin and what follows it, from the first `/` or `?`.
///
/// # Errors
/// The rest of a sentence about the URL; it repeats no part of it, which might be a password.
pub(crate) fn split(text: &str) -> Result<(Origin, &str), &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("is no URL")?;
    let scheme = match scheme {
        _ if scheme.eq_ignore_ascii_case("http") => Scheme::Http,
        _ if scheme.eq_ignore_ascii_case("https") => Scheme::Https,
        _ => return Err("has another scheme than http and https"),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    if authority.contains('@') {
        return Err("names a user: an `auth` of the grant adds a secret to requests");
    }
    if rest.contains('#') {
        return Err("has a fragment, which is never sent");
    }
    let colon = authority.rfind(':');
    let colon = colon.filter(|at| !authority[*at..].contains(']'));
    let (host, port) = match colon {
        Some(at) => {
            let port = &authority[at + 1..];
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            let port = port.parse::<u16>().ok();
            let port = port.filter(|port| digits && *port != 0);
            (
                &authority[..at],
                port.ok_or("has no port from 1 to 65535 after its host")?,
            )
        }
        None => (authority, scheme.default_port()),
    };
    let origin = Origin {
        scheme,
        host: Host::parse(host)?,
        port,
    };
    Ok((origin, rest))
}

/// The URL of a request, in the form in which it is checked and sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// The server.
    pub origin: Origin,
    /// The path, in canonical form.
    pub path: String,
    /// What follows the first `?`.
    pub query: Option<String>,
}

impl Url {
    /// Parses a URL. One without a path has the path `/`.
    ///
    /// # Errors
    /// The rest of a sentence about the URL, such as `has a fragment, which is never sent`.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (origin, rest) = split(text)?;
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        query.map_or(Ok(()), check_query)?;
        Ok(Self {
            origin,
            path: canonical(if path.is_empty() { "/" } else { path })?,
            query: query.map(str::to_owned),
        })
    }

    /// Returns path and query, as in a request's first line.
    pub fn path_and_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// Formats the URL for a log: the names in its query are kept, their values, which may be secret, are not. A part without
    /// `=` is a value.
    pub fn without_values(&self) -> String {
        /// A longer URL is cut.
        const MOST: usize = 512;
        let mut text = format!("{}{}", self.origin, self.path);
        if let Some(query) = &self.query {
            let parts = query.split('&').map(|part| match part.split_once('=') {
                Some((name, _)) => format!("{name}=…"),
                None => "…".to_owned(),
            });
            text.push('?');
            text.push_str(&parts.collect::<Vec<_>>().join("&"));
        }
        if text.len() > MOST {
            text.truncate(text.floor_char_boundary(MOST));
            text.push('…');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_split_and_brought_into_one_form() {
        for (text, expected) in [
            ("http://h", "http://h/"),
            ("HTTP://H.Example/", "http://h.example/"),
            ("http://h:80/a", "http://h/a"),
            ("https://h:443/a?b=c", "https://h/a?b=c"),
            ("https://h:8443?b", "https://h:8443/?b"),
            ("http://[::1]:81/", "http://[::1]:81/"),
            ("http://[::FFFF:127.0.0.1]/", "http://127.0.0.1/"),
            (
                "http://xn--bcher-kva.example/",
                "http://xn--bcher-kva.example/",
            ),
            ("http://h/%61?%61", "http://h/a?%61"),
        ] {
            let url = Url::parse(text).unwrap();
            let found = format!("{}{}", url.origin, url.path_and_query());
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_url_that_servers_could_read_differently_is_refused() {
        for (text, expected) in [
            ("h/x", "is no URL"),
            ("ftp://h/", "has another scheme"),
            ("file:///etc/passwd", "has another scheme"),
            ("http://u@h/", "names a user"),
            ("http://u:p@h/", "names a user"),
            ("http://allowed.example@evil.example/", "names a user"),
            ("http://h/#x", "has a fragment"),
            ("http:///x", "names no host"),
            ("http://h:0/", "has no port"),
            ("http://h:65536/", "has no port"),
            ("http://h:+80/", "has no port"),
            ("http://h:/", "has no port"),
            ("http://bücher.example/", "other letters than ASCII's"),
            ("http://h./", "is no name"),
            ("http://a..b/", "is no name"),
            ("http://a%2eb/", "is no name"),
            ("http://a b/", "is no name"),
            ("http://a\\b/", "is no name"),
            ("http://127.1/", "ends with a number"),
            ("http://2130706433/", "ends with a number"),
            ("http://0x7f000001/", "ends with a number"),
            ("http://0177.0.0.01/", "ends with a number"),
            ("http://1.2.3.4.5/", "ends with a number"),
            ("http://[fe80::1%25eth0]/", "no address of IPv6"),
            ("http://[::1/", "no address of IPv6"),
            ("http://[127.0.0.1]/", "no address of IPv6"),
            ("http://h/a/../b", "`.` or `..`"),
            ("http://h/?a b", "a query cannot have"),
        ] {
            let problem = Url::parse(text).unwrap_err();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
        let long = format!("http://{}/", "a.".repeat(200) + "a");
        assert!(Url::parse(&long).is_err());
    }

    #[test]
    fn a_log_shows_no_values_of_a_query() {
        for (text, expected) in [
            ("https://h/a", "https://h/a"),
            ("https://h/a?b=secret&c=&d", "https://h/a?b=…&c=…&…"),
            ("https://h/a?secret", "https://h/a?…"),
        ] {
            assert_eq!(Url::parse(text).unwrap().without_values(), expected);
        }
        let long = format!("https://h/{}", "a".repeat(5000));
        let shown = Url::parse(&long).unwrap().without_values();
        assert!(shown.len() < 520 && shown.ends_with('…'), "{shown}");
    }
}
