//! Paths of URLs in a canonical form, so that equal paths are equal texts, and no path leaves its prefix.

/// The longest path and query of a request, in bytes.
pub(crate) const MAX_TARGET: usize = 8 << 10;

/// Brings a path into its canonical form: escapes of unreserved characters are decoded, others are in upper case (RFC 3986, 6.2.2).
///
/// # Errors
/// The rest of a sentence about the path. A path with `.` or `..` is refused and not resolved, also where a server would only see
/// it after it decoded the path again (`%252e`), took `\` for `/`, or dropped parameters (`..;x`): servers differ in this.
pub(crate) fn canonical(path: &str) -> Result<String, &'static str> {
    if !path.starts_with('/') {
        return Err("has a path that does not begin with `/`");
    }
    if path.len() > MAX_TARGET {
        return Err("has a path that is too long");
    }
    let mut out = String::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digits = [bytes.next(), bytes.next()];
                let [Some(high), Some(low)] = digits.map(|digit| digit.and_then(hex)) else {
                    return Err("has a `%` without two hexadecimal digits after it");
                };
                let decoded = high << 4 | low;
                match decoded {
                    0..0x20 | 0x7f => return Err("has an escaped control character"),
                    _ if is_unreserved(decoded) => out.push(char::from(decoded)),
                    _ => out.push_str(&format!("%{decoded:02X}")),
                }
            }
            _ if is_plain(byte) => out.push(char::from(byte)),
            _ => return Err("has a character that a path cannot have: write it as %XX"),
        }
    }
    if has_dot_segments(&out) {
        return Err("has `.` or `..` as a part of its path, plain or escaped");
    }
    Ok(out)
}

/// Checks a query, which is sent as it is.
///
/// # Errors
/// The rest of a sentence about the query.
pub(crate) fn check_query(query: &str) -> Result<(), &'static str> {
    if query.len() > MAX_TARGET {
        return Err("has a query that is too long");
    }
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    match query.bytes().all(allowed) {
        true => Ok(()),
        false => Err("has a character that a query cannot have: write it as %XX"),
    }
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

/// Returns whether a character means the same with and without an escape.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Returns whether a path may contain a character without an escape.
fn is_plain(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'/' | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
        )
}

/// Returns whether a server could see `.` or `..` as a segment, however often it decodes the path. So does a path that still
/// changes after many rounds.
fn has_dot_segments(path: &str) -> bool {
    const ROUNDS: usize = 8;
    let mut path = path.as_bytes().to_vec();
    for _ in 0..ROUNDS {
        let segments = path.split(|byte| matches!(byte, b'/' | b'\\'));
        let mut names = segments.map(|segment| segment.split(|byte| *byte == b';').next());
        if names.any(|name| matches!(name, Some(b"." | b".."))) {
            return true;
        }
        let decoded = decoded(&path);
        if decoded == path {
            return false;
        }
        path = decoded;
    }
    true
}

fn decoded(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, after)) = rest.split_first() {
        if let ([b'%', high, low, ..], true) = (rest, *first == b'%')
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            out.push(high << 4 | low);
            rest = &rest[3..];
        } else {
            out.push(*first);
            rest = after;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equal_paths_have_one_form() {
        for (path, expected) in [
            ("/", "/"),
            ("/api/v1", "/api/v1"),
            ("/%61pi/%7Ex", "/api/~x"),
            ("/a%2fb%c3%bc", "/a%2Fb%C3%BC"),
            ("/zones/example.org.", "/zones/example.org."),
            ("//a//b/", "//a//b/"),
            ("/.well-known/...", "/.well-known/..."),
            ("/a=1;b,c:@", "/a=1;b,c:@"),
        ] {
            assert_eq!(canonical(path).as_deref(), Ok(expected), "{path}");
        }
    }

    #[test]
    fn a_path_that_could_leave_its_prefix_is_refused() {
        for path in [
            "/api/../admin",
            "/api/./x",
            "/api/..",
            "/api/.",
            "/api/%2e%2e/admin",
            "/api/%2E./admin",
            "/api/.%2e",
            "/api/..%2fadmin",
            "/api/%2e%2e%2Fadmin",
            "/api/..%5cadmin",
            "/api/%252e%252e/admin",
            "/api/%25252e%25252e/admin",
            "/api/%25%32%65%25%32%65/admin",
            "/api/..;x/admin",
            "/api/..%3bx/admin",
            "/api/%2e%2e;jsessionid=1/admin",
            "/api/%25252525252525252525252525",
        ] {
            let problem = canonical(path).unwrap_err();
            assert!(problem.contains("`.` or `..`"), "{path}: {problem}");
        }
    }

    #[test]
    fn a_path_with_other_characters_is_refused() {
        for (path, expected) in [
            ("api", "does not begin"),
            ("", "does not begin"),
            ("/a%", "two hexadecimal digits"),
            ("/a%2", "two hexadecimal digits"),
            ("/a%+1", "two hexadecimal digits"),
            ("/a%zz", "two hexadecimal digits"),
            ("/a%00", "control character"),
            ("/a%0d%0aX: y", "control character"),
            ("/a b", "a character"),
            ("/a\\..\\b", "a character"),
            ("/ü", "a character"),
            ("/a#b", "a character"),
            ("/a?b", "a character"),
        ] {
            let problem = canonical(path).unwrap_err();
            assert!(problem.contains(expected), "{path}: {problem}");
        }
        let long = format!("/{}", "a".repeat(MAX_TARGET));
        assert!(canonical(&long).unwrap_err().contains("too long"));
        assert!(check_query("a=b&c=%20?/").is_ok());
        for query in ["a b", "a\r\nX: y", "ü", "a#b"] {
            assert!(check_query(query).is_err(), "{query}");
        }
    }

    /// What a lenient server makes of a path: it decodes it `rounds` times and then resolves its dots.
    fn resolved(path: &str, rounds: usize) -> String {
        let mut bytes = path.as_bytes().to_vec();
        for _ in 0..rounds {
            bytes = decoded(&bytes);
        }
        let text = String::from_utf8_lossy(&bytes).replace('\\', "/");
        let mut kept: Vec<&str> = Vec::new();
        for segment in text.split('/') {
            match segment.split(';').next() {
                Some(".") => {}
                Some("..") => {
                    kept.pop();
                }
                _ => kept.push(segment),
            }
        }
        kept.join("/")
    }

    proptest! {
        #[test]
        fn no_server_resolves_an_accepted_path_to_one_outside_of_its_prefix(
            parts in prop::collection::vec(
                prop::sample::select(vec![".", "..", "%2e", "%2E", "/", "%2f", "\\", "%5C", "%25", "2e", "2f", "a", ";", "%3b"]),
                0..12,
            ),
            rounds in 0_usize..5,
        ) {
            let path = format!("/api/{}", parts.concat());
            if let Ok(path) = canonical(&path) {
                prop_assert!(path.starts_with("/api/"));
                let seen = resolved(&path, rounds);
                prop_assert!(seen.starts_with("/api/") , "{path} is read as {seen}");
            }
        }

        #[test]
        fn the_canonical_form_is_its_own(path in "/([a-c./;%]|%[0-9a-f]{2}){0,12}") {
            if let Ok(once) = canonical(&path) {
                prop_assert_eq!(canonical(&once), Ok(once));
            }
        }
    }
}
