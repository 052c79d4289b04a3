/// A task whose required inputs no earlier task provides.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("task `{task}` requires {}, which no earlier task provides", quoted(.names))]
pub struct MissingDependencies {
    /// The first such task.
    pub task: String,
    /// All missing inputs, sorted.
    pub names: Vec<String>,
}

/// Formats names for a sentence: "`a`, `b` and `c`".
pub(super) fn quoted(names: &[impl AsRef<str>]) -> String {
    let quote = |name: &str| format!("`{}`", name.escape_debug());
    match names {
        [] => String::new(),
        [only] => quote(only.as_ref()),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(|name| quote(name.as_ref())).collect();
            format!("{} and {}", first.join(", "), quote(last.as_ref()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_name_is_named() {
        let missing = MissingDependencies {
            task: "b".to_owned(),
            names: ["x", "y", "z"].map(str::to_owned).into(),
        };
        assert_eq!(
            missing.to_string(),
            "task `b` requires `x`, `y` and `z`, which no earlier task provides"
        );
    }
}
