//! The grant `http` in manifests and in the operator's settings.

use std::collections::BTreeSet;

use http::{HeaderName, Method};

use cairn_manifest::document::Item;
use cairn_manifest::manifest::{Grant, GrantKind};
use cairn_model::error::Diagnostic;
use cairn_model::secret::is_name;

use crate::client::is_hosts_header;
use crate::grant::{ALLOW, AUTH, Auth, HEADER, HttpGrant, METHODS, SECRET, is_never_sent};
use crate::pattern::UrlPattern;

const EXAMPLE: &str =
    r#"write `http = { allow = ["https://pdns.example:8443/api/*"], methods = ["GET", "PUT"] }`"#;

/// The kind of the grant `http`:
///
/// ```toml
/// http = { allow = ["https://pdns.example:8443/api/*"], methods = ["GET", "PUT"], auth = { header = "X-API-Key", secret = "pdns" } }
/// ```
///
/// A list that is missing does not narrow the grant. `auth` needs `allow`, as the secret is sent to every URL that is allowed.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpGrantKind;

impl HttpGrantKind {
    /// The key of the grant.
    pub const NAME: &str = "http";
}

impl GrantKind for HttpGrantKind {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn interfaces(&self) -> &[&str] {
        &["wasi:http/outgoing-handler", "wasi:http/types"]
    }

    fn functions(&self) -> &[&str] {
        &[]
    }

    fn parse(&self, item: &Item<'_>) -> Result<Option<Grant>, Diagnostic> {
        if let Some(granted) = item.as_bool() {
            return Ok(granted.then(Grant::all));
        }
        let Some(table) = item.as_table() else {
            let error = item.error("must be true, false, or a table that narrows the grant");
            return Err(error.help(EXAMPLE));
        };
        let table = table.only(&[ALLOW, METHODS, AUTH])?;
        let (allow, methods, auth) = (table.get(ALLOW), table.get(METHODS), table.get(AUTH));
        if allow.is_none() && methods.is_none() && auth.is_none() {
            return Err(item.error("narrows nothing").help(EXAMPLE));
        }
        if allow.is_none()
            && let Some(auth) = &auth
        {
            let error = auth.error("would send a secret to every URL");
            return Err(error.help("name the URLs that get it with `allow`"));
        }
        let grant = HttpGrant {
            allow: allow.map(|item| list(&item, pattern)).transpose()?,
            methods: methods.map(|item| list(&item, method)).transpose()?,
            auth: auth.map(|item| read_auth(&item)).transpose()?,
        };
        Ok(Some(grant.to_grant()))
    }

    fn within(&self, one: &Grant, other: &Grant) -> Option<Grant> {
        let [one, other] = [one, other].map(HttpGrant::of);
        Some(one?.within(&other?)?.to_grant())
    }
}

fn list<T: Ord>(
    item: &Item<'_>,
    read: impl Fn(&Item<'_>) -> Result<T, Diagnostic>,
) -> Result<BTreeSet<T>, Diagnostic> {
    let items = item.array()?;
    let found = items
        .map(|item| read(&item))
        .collect::<Result<BTreeSet<_>, _>>()?;
    match found.is_empty() {
        true => Err(item
            .error("is empty, so the grant reaches nothing")
            .help("name what it reaches, or write `false` for the whole grant")),
        false => Ok(found),
    }
}

fn pattern(item: &Item<'_>) -> Result<UrlPattern, Diagnostic> {
    let text = item.text()?;
    UrlPattern::parse(text).map_err(|why| {
        // A URL with a user may hold a password.
        let shown = match text.contains('@') {
            true => "a URL that".to_owned(),
            false => format!("`{}`, which", text.escape_debug()),
        };
        item.error(format!("holds {shown} {why}"))
            .help("write scheme, host, port and path, and `*` at the end of a path's beginning: \"https://pdns.example:8443/api/*\"")
    })
}

fn method(item: &Item<'_>) -> Result<String, Diagnostic> {
    let text = item.text()?;
    let shown = text.escape_debug();
    if is_never_sent(text) {
        return Err(item
            .error(format!("holds `{shown}`, which is never sent"))
            .help("it asks for a tunnel, or for the request's headers: remove it"));
    }
    let is_method = Method::from_bytes(text.as_bytes()).is_ok()
        && !text.contains(|c: char| c.is_ascii_lowercase());
    match is_method {
        true => Ok(text.to_owned()),
        false => Err(item
            .error(format!("holds `{shown}`, which is no method"))
            .help(r#"write methods in capitals, as in ["GET", "PUT", "DELETE"]"#)),
    }
}

fn read_auth(item: &Item<'_>) -> Result<Auth, Diagnostic> {
    const EXAMPLE: &str = r#"write `auth = { header = "X-API-Key", secret = "pdns" }`"#;
    let table = item.table().map_err(|error| error.help(EXAMPLE))?;
    let table = table.only(&[HEADER, SECRET])?;
    let required = |key: &str| {
        let found = table.get(key);
        found.ok_or_else(|| item.error(format!("lacks `{key}`")).help(EXAMPLE))
    };
    let (header, secret) = (required(HEADER)?, required(SECRET)?);
    let shown = header.text()?.escape_debug();
    let name = HeaderName::from_bytes(header.text()?.as_bytes()).map_err(|_| {
        header
            .error(format!("is `{shown}`, which is no header's name"))
            .help(EXAMPLE)
    })?;
    if is_hosts_header(&name) {
        return Err(header
            .error(format!("is `{shown}`, which the host sets itself"))
            .help("name the header in which the server expects the secret"));
    }
    let text = secret.text()?;
    if !is_name(text) {
        return Err(secret
            .error(format!("is `{}`, which is no name of a secret", text.escape_debug()))
            .help("write the name of the secret in the operator's settings, not the secret: letters, digits, `-`, `_` and `.`"));
    }
    Ok(Auth {
        header: name,
        secret: text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use cairn_manifest::document::Document;
    use cairn_manifest::manifest::{GrantKinds, Grants};

    use super::*;

    fn parse(text: &str) -> Result<Option<Grant>, Diagnostic> {
        let document = Document::new(text, Path::new("flow.toml"))?;
        let entries = document.parse()?;
        let table = document.root(&entries);
        HttpGrantKind.parse(&table.get("http").expect("a grant"))
    }

    #[test]
    fn a_grant_is_read_in_its_canonical_form() {
        let text = r#"http = { methods = ["PUT", "GET", "GET"], allow = ["HTTPS://Pdns.Example:443/%61pi/*", "http://h/"],
            auth = { header = "X-API-Key", secret = "pdns" } }"#
            .replace('\n', " ");
        let grant = parse(&text).unwrap().unwrap();
        let json = r#"{"allow":["http://h/","https://pdns.example/api/*"],"auth":{"header":"x-api-key","secret":"pdns"},"methods":["GET","PUT"]}"#;
        assert_eq!(serde_json::to_string(&grant).unwrap(), json);
        let kinds = GrantKinds::new([Arc::new(HttpGrantKind) as Arc<dyn GrantKind>]).unwrap();
        let mut grants = Grants::default();
        grants.insert("http", grant.clone(), &kinds);
        let shown = grants.to_string();
        let inner = shown
            .strip_prefix("{ ")
            .unwrap()
            .strip_suffix(" }")
            .unwrap();
        assert_eq!(parse(inner).unwrap(), Some(grant), "{shown}");
        assert_eq!(parse("http = true").unwrap(), Some(Grant::all()));
        assert_eq!(parse("http = false").unwrap(), None);
    }

    #[test]
    fn the_operators_grant_bounds_the_manifests() {
        let grant = |text: &str| parse(text).unwrap().unwrap();
        let manifest =
            grant(r#"http = { allow = ["http://h/a/*", "http://i/*"], methods = ["GET", "PUT"] }"#);
        let operator = grant(r#"http = { allow = ["http://h/*"], methods = ["GET"] }"#);
        let both = grant(r#"http = { allow = ["http://h/a/*"], methods = ["GET"] }"#);
        assert_eq!(HttpGrantKind.within(&manifest, &operator), Some(both));
        assert_eq!(
            HttpGrantKind.within(&manifest, &Grant::all()),
            Some(manifest.clone())
        );
        let damaged = serde_json::from_str(r#"{"allow": 1}"#).unwrap();
        assert_eq!(HttpGrantKind.within(&damaged, &operator), None);
        assert_eq!(HttpGrantKind.within(&manifest, &damaged), None);
    }

    #[test]
    fn what_is_wrong_is_named_with_the_fix() {
        for (text, expected, fix) in [
            (
                "http = 1",
                "`http` must be true, false, or a table",
                "write `http = { allow",
            ),
            ("http = {}", "`http` narrows nothing", "allow ="),
            (
                "http = { urls = [] }",
                "unknown key `urls`",
                "known keys here: allow, methods, auth",
            ),
            (
                "http = { allow = [] }",
                "`http.allow` is empty",
                "write `false`",
            ),
            (
                "http = { allow = 'http://h/*' }",
                "`http.allow` must be an array",
                "",
            ),
            (
                "http = { allow = ['pdns'] }",
                "`http.allow` holds `pdns`, which is no URL",
                "write scheme, host",
            ),
            (
                "http = { allow = ['http://u:hunter2@h/'] }",
                "`http.allow` holds a URL that names a user",
                "write scheme",
            ),
            (
                "http = { allow = ['http://169.254.169.254/*'] }",
                "which is link-local",
                "",
            ),
            (
                "http = { methods = ['get'] }",
                "`http.methods` holds `get`, which is no method",
                "in capitals",
            ),
            (
                "http = { methods = ['TRACE'] }",
                "holds `TRACE`, which is never sent",
                "remove it",
            ),
            (
                "http = { auth = { header = 'a', secret = 'b' } }",
                "`http.auth` would send a secret to every URL",
                "`allow`",
            ),
            (
                "http = { allow = ['http://h/*'], auth = { header = 'a' } }",
                "`http.auth` lacks `secret`",
                "write `auth =",
            ),
            (
                "http = { allow = ['http://h/*'], auth = { header = 'a b', secret = 'b' } }",
                "which is no header's name",
                "X-API-Key",
            ),
            (
                "http = { allow = ['http://h/*'], auth = { header = 'Host', secret = 'b' } }",
                "`Host`, which the host sets itself",
                "name the header",
            ),
            (
                "http = { allow = ['http://h/*'], auth = { header = 'a', secret = 'b c' } }",
                "is no name of a secret",
                "not the secret",
            ),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains(fix), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
