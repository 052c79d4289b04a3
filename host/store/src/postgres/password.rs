//! The password of a database, which is read each time a connection is made, so that a new one is used without a restart.

use cairn_model::secret::{Secret, SecretSource};

/// Variables that may hold a password, the first one first.
const VARIABLES: [&str; 2] = ["CAIRN_POSTGRES_PASSWORD", "PGPASSWORD"];

/// Reads the password: the first line of its source. Without a source it is in the environment, or there is none.
///
/// # Errors
/// Why it cannot be read, without anything of it.
pub(super) fn read(source: Option<&SecretSource>) -> Result<Option<Secret>, String> {
    let Some(source) = source else {
        return from_environment();
    };
    let failed = |problem: &str| format!("the password of the database cannot be read: {problem}");
    let secret = source.read().map_err(|error| failed(&error.to_string()))?;
    match secret.expose().lines().next() {
        Some(line) if !line.is_empty() => Ok(Some(Secret::new(line))),
        _ => Err(failed("its first line is empty")),
    }
}

fn from_environment() -> Result<Option<Secret>, String> {
    for name in VARIABLES {
        match std::env::var(name) {
            Ok(password) if !password.is_empty() => return Ok(Some(Secret::new(password))),
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(format!("the variable {name} is not UTF-8"));
            }
            Ok(_) | Err(std::env::VarError::NotPresent) => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(script: &str) -> Result<Option<Secret>, String> {
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        read(Some(&SecretSource::Command(command)))
    }

    #[test]
    fn the_first_line_is_the_password() {
        let secret = Some(Secret::new("se cret "));
        assert_eq!(of("echo 'se cret '; echo more").unwrap(), secret);
        for (script, expected) in [
            ("echo secret; exit 3", "failed: exit status: 3"),
            ("true", "the command sh holds nothing"),
            ("echo; echo secret", "its first line is empty"),
        ] {
            let found = of(script).unwrap_err();
            assert!(
                found.starts_with("the password of the database cannot be read: ")
                    && found.contains(expected)
                    && !found.contains("secret"),
                "{found}"
            );
        }
    }
}
