//! Patterns of URLs in a grant.

use std::fmt;

use crate::path::canonical;
use crate::url::{Host, Origin, Url, split};

/// A pattern of URLs: scheme, host, port, and a path or, with `*` at its end, the beginning of paths.
///
/// - Scheme and host are compared without regard to case, and the scheme's own port is the same as none.
/// - The host is one name or one address, never a pattern. Names are compared, not their addresses.
/// - Paths are compared in one form: `/%61pi` is `/api`. A path with `.` or `..` is refused in patterns and in requests, plain or
///   escaped, so that none leaves the beginning that is allowed.
/// - A query is not compared: a pattern allows any.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UrlPattern {
    origin: Origin,
    /// In canonical form, without the `*`.
    path: String,
    is_prefix: bool,
}

/// Why a text is not a pattern: the rest of a sentence that begins with the pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(pub(crate) &'static str);

impl UrlPattern {
    /// Parses a pattern, such as `https://pdns.example:8443/api/*`.
    ///
    /// # Errors
    /// See [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let (origin, path) = split(text).map_err(PatternError)?;
        if path.is_empty() {
            return Err(PatternError(
                "has no path: end it with `/*` for every path, or with `/`",
            ));
        }
        if path.contains('?') {
            return Err(PatternError("has a query, which patterns do not compare"));
        }
        let (path, is_prefix) = match path.strip_suffix('*') {
            Some(beginning) => (beginning, true),
            None => (path, false),
        };
        if path.contains('*') {
            return Err(PatternError("has a `*` that is not at its end"));
        }
        if let Host::Address(address) = &origin.host
            && let Err(why) = crate::address::check(*address, true)
        {
            return Err(PatternError(why));
        }
        let path = canonical(path).map_err(PatternError)?;
        Ok(Self {
            origin,
            path,
            is_prefix,
        })
    }

    /// Returns whether the pattern allows a URL.
    pub fn allows(&self, url: &Url) -> bool {
        self.origin == url.origin && self.reaches(&url.path)
    }

    /// Returns whether the pattern allows every URL that `narrow` allows.
    pub fn covers(&self, narrow: &Self) -> bool {
        self.origin == narrow.origin
            && (self.is_prefix || !narrow.is_prefix)
            && self.reaches(&narrow.path)
    }

    fn reaches(&self, path: &str) -> bool {
        match self.is_prefix {
            true => path.starts_with(&self.path),
            false => path == self.path,
        }
    }

    /// Returns whether the pattern names an address, or this machine: then requests may go there although it is not public.
    pub(crate) fn names_address(&self) -> bool {
        self.origin.host.is_literal()
    }
}

impl fmt::Display for UrlPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.is_prefix { "*" } else { "" };
        write!(f, "{}{}{star}", self.origin, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> UrlPattern {
        UrlPattern::parse(text).unwrap_or_else(|error| panic!("{text} {error}"))
    }

    fn allows(text: &str, url: &str) -> bool {
        Url::parse(url).is_ok_and(|url| pattern(text).allows(&url))
    }

    #[test]
    fn a_pattern_allows_its_path_or_what_begins_with_it() {
        const API: &str = "https://pdns.example:8443/api/*";
        for (url, expected) in [
            ("https://pdns.example:8443/api/", true),
            ("https://pdns.example:8443/api/v1?x=/../admin", true),
            ("HTTPS://PDNS.example:8443/%61pi/v1", true),
            ("https://pdns.example:8443/api", false),
            ("https://pdns.example:8443/API/v1", false),
            ("https://pdns.example:8443/apix", false),
            ("https://pdns.example:8443//api/v1", false),
            ("https://pdns.example:8443/api%2Fv1", false),
            ("https://pdns.example/api/v1", false),
            ("http://pdns.example:8443/api/v1", false),
            ("https://pdns.example.evil.example:8443/api/v1", false),
            ("https://evil.example:8443/api/v1", false),
            ("https://pdns.example:8443/api/../admin", false),
            ("https://pdns.example:8443/api/%2e%2e/admin", false),
            ("https://pdns.example:8443/api/%252e%252e/admin", false),
        ] {
            assert_eq!(allows(API, url), expected, "{url}");
        }
        assert!(allows("http://h/status", "http://h/status?verbose"));
        assert!(!allows("http://h/status", "http://h/status/x"));
        assert!(allows("http://h:80/*", "http://h/"));
        assert!(allows("http://[::1]/*", "http://[0:0::1]/x"));
    }

    #[test]
    fn a_pattern_is_written_in_one_form() {
        for (text, expected) in [
            ("HTTPS://H.Example:443/%61/*", "https://h.example/a/*"),
            ("http://h:8080/", "http://h:8080/"),
            ("http://[::ffff:10.0.0.1]:81/*", "http://10.0.0.1:81/*"),
        ] {
            assert_eq!(pattern(text).to_string(), expected);
            assert_eq!(pattern(expected), pattern(text));
        }
    }

    #[test]
    fn a_pattern_covers_those_that_allow_no_more() {
        for (wide, narrow, expected) in [
            ("http://h/*", "http://h/api/*", true),
            ("http://h/api*", "http://h/api/x", true),
            ("http://h/api/*", "http://h/*", false),
            ("http://h/api", "http://h/api", true),
            ("http://h/api", "http://h/api*", false),
            ("http://h/*", "http://h:81/*", false),
            ("http://h/*", "https://h/*", false),
            ("http://h/*", "http://i/*", false),
        ] {
            let found = pattern(wide).covers(&pattern(narrow));
            assert_eq!(found, expected, "{wide}, {narrow}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_the_fix() {
        for (text, expected) in [
            ("pdns", "is no URL"),
            ("*", "is no URL"),
            ("https://*/", "is no name"),
            ("https://*.example/*", "is no name"),
            ("https://h", "end it with `/*`"),
            ("https://h*", "is no name"),
            ("https://h:*/", "has no port"),
            ("https://h/a/*/b", "a `*` that is not at its end"),
            ("https://h/a**", "a `*` that is not at its end"),
            ("https://h/a?b=*", "has a query"),
            ("https://h/a/../*", "`.` or `..`"),
            ("https://h/a/..*", "`.` or `..`"),
            ("https://u:p@h/*", "names a user"),
            ("http://169.254.169.254/*", "link-local"),
            ("http://[fe80::1]/*", "link-local"),
        ] {
            let problem = UrlPattern::parse(text).unwrap_err().to_string();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }
}
