//! Names in manifests.

pub(super) const NAME_RULE: &str = "a name has 1 to 128 letters, digits and characters of `-_.:`";

/// Checks a name. Names reach terminals, logs and diagrams unescaped, so they may contain no special characters.
pub(super) fn is_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}
