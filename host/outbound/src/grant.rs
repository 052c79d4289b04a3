//! What a grant of `http` permits.

use std::collections::BTreeSet;

use http::{HeaderName, Method, Uri};

use cairn_manifest::manifest::Grant;
use cairn_model::value::{Object, Value};

use crate::error::OutboundError;
use crate::pattern::UrlPattern;
use crate::url::Url;

/// The keys of a grant.
pub(crate) const ALLOW: &str = "allow";
pub(crate) const METHODS: &str = "methods";
pub(crate) const AUTH: &str = "auth";
pub(crate) const HEADER: &str = "header";
pub(crate) const SECRET: &str = "secret";

/// A secret that the host adds to each request as a header. The plugin never sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// The header, which the plugin cannot set or read.
    pub header: HeaderName,
    /// The name of the secret in the operator's settings.
    pub secret: String,
}

/// A grant of `http`. By default, and as `http = true`: every URL of public addresses, every method, and no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpGrant {
    /// The URLs. `None` allows all.
    pub(crate) allow: Option<BTreeSet<UrlPattern>>,
    /// The methods. `None` allows all but CONNECT and TRACE, which are never sent.
    pub(crate) methods: Option<BTreeSet<String>>,
    /// The secret that the host adds to requests.
    pub(crate) auth: Option<Auth>,
}

/// A request that a grant permits. Nothing was looked up yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// Whether the grant names the host's address, or this machine.
    pub(crate) is_named: bool,
}

impl Permit {
    /// Returns the method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the URL in the form in which it is sent.
    pub fn url(&self) -> &Url {
        &self.url
    }
}

/// Returns whether a method is never sent, whatever the grant: CONNECT opens a tunnel, TRACE answers with the request's headers.
pub(crate) fn is_never_sent(method: &str) -> bool {
    ["CONNECT", "TRACE"]
        .iter()
        .any(|never| method.eq_ignore_ascii_case(never))
}

impl HttpGrant {
    /// Reads a grant from its canonical JSON. Returns `None` if it is not what [`to_grant`](Self::to_grant) writes.
    pub fn of(grant: &Grant) -> Option<Self> {
        let json = grant.as_json();
        let texts = |key: &str| match json.get(key) {
            None => Some(None),
            Some(list) => {
                let texts = list.as_array()?.iter().map(Value::as_str);
                texts.collect::<Option<Vec<_>>>().map(Some)
            }
        };
        let allow = match texts(ALLOW)? {
            None => None,
            Some(patterns) => {
                let patterns = patterns.into_iter().map(UrlPattern::parse);
                Some(patterns.collect::<Result<_, _>>().ok()?)
            }
        };
        let methods = texts(METHODS)?.map(|all| all.into_iter().map(str::to_owned).collect());
        let auth = match json.get(AUTH) {
            None => None,
            Some(auth) => Some(Auth {
                header: auth.get(HEADER)?.as_str()?.parse().ok()?,
                secret: auth.get(SECRET)?.as_str()?.to_owned(),
            }),
        };
        let known = [ALLOW, METHODS, AUTH];
        let is_known = json.keys().all(|key| known.contains(&key.as_str()));
        is_known.then_some(Self {
            allow,
            methods,
            auth,
        })
    }

    /// Returns the grant as canonical JSON.
    pub fn to_grant(&self) -> Grant {
        let mut json = Object::new();
        if let Some(allow) = &self.allow {
            let patterns = allow.iter().map(ToString::to_string);
            json.insert(ALLOW.to_owned(), patterns.collect());
        }
        if let Some(auth) = &self.auth {
            let auth = Object::from_iter([
                (HEADER.to_owned(), auth.header.as_str().into()),
                (SECRET.to_owned(), auth.secret.as_str().into()),
            ]);
            json.insert(AUTH.to_owned(), auth.into());
        }
        if let Some(methods) = &self.methods {
            json.insert(METHODS.to_owned(), methods.iter().cloned().collect());
        }
        Grant::from_json(json)
    }

    /// Returns the secret that the host adds to requests.
    pub fn auth(&self) -> Option<&Auth> {
        self.auth.as_ref()
    }

    /// Computes what a manifest's grant permits within the operator's. `None` if that is nothing, or if the operator's narrows the
    /// grant and does not name the same secret: a request without it would only be refused by its server.
    pub fn within(&self, operators: &Self) -> Option<Self> {
        if *operators == Self::default() {
            return Some(self.clone());
        }
        if self.auth.is_some() && self.auth != operators.auth {
            return None;
        }
        let allow = match (&self.allow, &operators.allow) {
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => Some(one.clone()),
            (Some(one), Some(other)) => {
                // If two patterns overlap, one covers the other.
                let pairs = one.iter().flat_map(|a| other.iter().map(move |b| (a, b)));
                let meet = pairs.filter_map(|(a, b)| match (a.covers(b), b.covers(a)) {
                    (true, _) => Some(b.clone()),
                    (false, true) => Some(a.clone()),
                    (false, false) => None,
                });
                Some(meet.collect::<BTreeSet<_>>())
            }
        };
        let methods = match (&self.methods, &operators.methods) {
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => Some(one.clone()),
            (Some(one), Some(other)) => Some(one & other),
        };
        let is_empty = allow.as_ref().is_some_and(BTreeSet::is_empty)
            || methods.as_ref().is_some_and(BTreeSet::is_empty);
        (!is_empty).then(|| Self {
            allow,
            methods,
            auth: self.auth.clone(),
        })
    }

    /// Checks a request's method and URL.
    ///
    /// # Errors
    /// [`OutboundError::Url`], [`NeverSent`](OutboundError::NeverSent), [`NotAllowed`](OutboundError::NotAllowed) or
    /// [`Method`](OutboundError::Method).
    pub fn permit(&self, method: &Method, uri: &Uri) -> Result<Permit, OutboundError> {
        let url = Url::parse(&uri.to_string()).map_err(OutboundError::Url)?;
        let named = || method.as_str().to_owned();
        if is_never_sent(method.as_str()) {
            return Err(OutboundError::NeverSent { method: named() });
        }
        // All patterns that allow the URL have its host, so that each of them names it, or none does.
        let is_named = match &self.allow {
            None => false,
            Some(patterns) => {
                let pattern = patterns.iter().find(|pattern| pattern.allows(&url));
                let pattern = pattern.ok_or_else(|| OutboundError::NotAllowed {
                    url: url.without_values(),
                })?;
                pattern.names_address()
            }
        };
        let methods = self.methods.as_ref();
        if methods.is_some_and(|methods| !methods.contains(method.as_str())) {
            return Err(OutboundError::Method { method: named() });
        }
        Ok(Permit {
            method: method.clone(),
            url,
            is_named,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(json: &str) -> HttpGrant {
        let grant = Grant::from_json(
            cairn_model::value::parse(json)
                .unwrap()
                .as_object()
                .unwrap()
                .clone(),
        );
        HttpGrant::of(&grant).unwrap_or_else(|| panic!("{json}"))
    }

    fn permit(grant: &HttpGrant, method: &str, url: &str) -> Result<Permit, OutboundError> {
        grant.permit(&method.parse().unwrap(), &url.parse().unwrap())
    }

    #[test]
    fn a_grant_permits_its_methods_at_its_urls() {
        let grant =
            grant(r#"{"allow": ["https://pdns.example:8443/api/*"], "methods": ["GET", "PUT"]}"#);
        let found = permit(&grant, "PUT", "https://pdns.example:8443/api/%7Ex?a=b").unwrap();
        assert_eq!(found.url().path_and_query(), "/api/~x?a=b");
        assert!(!found.is_named);
        for (method, url, expected) in [
            (
                "GET",
                "https://pdns.example/api/x?key=secret",
                "does not allow https://pdns.example/api/x?key=…: add a pattern",
            ),
            (
                "DELETE",
                "https://pdns.example:8443/api/x",
                "the method DELETE: add it to `methods`",
            ),
            ("put", "https://pdns.example:8443/api/x", "the method put"),
            (
                "TRACE",
                "https://pdns.example:8443/api/x",
                "TRACE is never sent",
            ),
            (
                "CONNECT",
                "https://pdns.example:8443/api/x",
                "CONNECT is never sent",
            ),
            (
                "GET",
                "https://pdns.example:8443/api/%2e%2e/x",
                "`.` or `..`",
            ),
            ("GET", "/api/x", "is no URL"),
        ] {
            let error = permit(&grant, method, url).unwrap_err().to_string();
            assert!(error.contains(expected), "{method} {url}: {error}");
        }
    }

    #[test]
    fn only_a_pattern_with_an_address_or_localhost_names_it() {
        for (pattern, url, expected) in [
            ("http://127.0.0.1:81/*", "http://127.0.0.1:81/", true),
            (
                "http://127.0.0.1:81/*",
                "http://[::ffff:127.0.0.1]:81/",
                true,
            ),
            ("http://[fd12::1]/*", "http://[fd12::1]/", true),
            ("http://localhost/*", "http://LOCALHOST/", true),
            ("http://pdns/*", "http://pdns/", false),
            ("http://a.localhost/*", "http://a.localhost/", false),
        ] {
            let grant = grant(&format!(r#"{{"allow": ["{pattern}"]}}"#));
            assert_eq!(
                permit(&grant, "GET", url).unwrap().is_named,
                expected,
                "{url}"
            );
        }
        let all = HttpGrant::default();
        assert!(!permit(&all, "GET", "http://127.0.0.1/").unwrap().is_named);
        assert!(permit(&all, "TRACE", "http://h/").is_err());
    }

    #[test]
    fn what_remains_of_a_grant_is_what_both_permit() {
        const ALL: &str = "{}";
        const AUTH: &str =
            r#"{"allow":["http://h/a/*"],"auth":{"header":"x-api-key","secret":"pdns"}}"#;
        for (manifest, operator, expected) in [
            (ALL, ALL, Some(ALL)),
            (AUTH, ALL, Some(AUTH)),
            (AUTH, AUTH, Some(AUTH)),
            (
                r#"{"allow":["http://h/a/*","http://i/*"]}"#,
                r#"{"allow":["http://h/*"]}"#,
                Some(r#"{"allow":["http://h/a/*"]}"#),
            ),
            (
                r#"{"allow":["http://h/*"]}"#,
                r#"{"allow":["http://h/a/*","http://h/b"],"methods":["GET"]}"#,
                Some(r#"{"allow":["http://h/a/*","http://h/b"],"methods":["GET"]}"#),
            ),
            (
                ALL,
                r#"{"methods":["GET"]}"#,
                Some(r#"{"methods":["GET"]}"#),
            ),
            (
                r#"{"methods":["GET","PUT"]}"#,
                r#"{"methods":["GET","DELETE"]}"#,
                Some(r#"{"methods":["GET"]}"#),
            ),
            (r#"{"methods":["PUT"]}"#, r#"{"methods":["GET"]}"#, None),
            (
                r#"{"allow":["http://h/*"]}"#,
                r#"{"allow":["https://h/*"]}"#,
                None,
            ),
            // A secret goes only where the operator's entry sends it, too.
            (AUTH, r#"{"allow":["http://h/*"]}"#, None),
            (
                AUTH,
                r#"{"allow":["http://h/a/*"],"auth":{"header":"x-api-key","secret":"other"}}"#,
                None,
            ),
            (
                r#"{"allow":["http://h/a/*"]}"#,
                AUTH,
                Some(r#"{"allow":["http://h/a/*"]}"#),
            ),
        ] {
            let found = grant(manifest).within(&grant(operator));
            let expected = expected.map(grant);
            assert_eq!(found, expected, "{manifest}, {operator}");
            if let Some(found) = found {
                assert_eq!(HttpGrant::of(&found.to_grant()), Some(found));
            }
        }
    }

    #[test]
    fn what_is_no_grant_permits_nothing() {
        for json in [
            r#"{"allow": "http://h/*"}"#,
            r#"{"allow": [1]}"#,
            r#"{"allow": ["h"]}"#,
            r#"{"allow": ["http://169.254.169.254/*"]}"#,
            r#"{"methods": "GET"}"#,
            r#"{"auth": {"header": "x"}}"#,
            r#"{"auth": {"header": "x y", "secret": "z"}}"#,
            r#"{"urls": ["http://h/*"]}"#,
        ] {
            let grant = serde_json::from_str::<Grant>(json).unwrap();
            assert_eq!(HttpGrant::of(&grant), None, "{json}");
        }
    }
}
