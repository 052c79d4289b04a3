//! Who provides each input of each task.

use std::collections::BTreeMap;

/// What one task takes and gives, by name.
#[derive(Clone, Copy, Debug)]
pub struct Ports<'a> {
    /// The task's name, by which its consumers know it.
    pub name: &'a str,
    /// Inputs that an earlier task must provide.
    pub requires: &'a [String],
    /// Inputs that are taken when they are there.
    pub optional: &'a [String],
    /// Names that its result holds.
    pub provides: &'a [String],
}

/// Where the inputs of one task come from; each list in the order in which the task names its inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wiring {
    /// Each required input with the nearest earlier task that provides it.
    pub requires: Vec<(String, String)>,
    /// Each optional input with every earlier task that provides it, nearest first.
    pub optional: Vec<(String, Vec<String>)>,
}

/// A task whose required inputs no earlier task provides.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("task `{task}` requires {}, which no earlier task provides", quoted(.names))]
pub struct MissingDependencies {
    /// The first such task.
    pub task: String,
    /// Every input that it misses, sorted.
    pub names: Vec<String>,
}

/// Wires tasks, given in the order in which they run: a required input comes from the nearest earlier task that provides
/// it, never from the task itself.
///
/// # Errors
/// [`MissingDependencies`] of the first task that misses anything.
pub fn wire(tasks: &[Ports<'_>]) -> Result<Vec<Wiring>, MissingDependencies> {
    let mut providers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut wirings = Vec::with_capacity(tasks.len());
    for task in tasks {
        let mut wiring = Wiring::default();
        let mut missing = Vec::new();
        for input in task.requires {
            match providers.get(input.as_str()).and_then(|names| names.last()) {
                Some(&nearest) => wiring.requires.push((input.clone(), nearest.to_owned())),
                None => missing.push(input.clone()),
            }
        }
        if !missing.is_empty() {
            missing.sort();
            return Err(MissingDependencies {
                task: task.name.to_owned(),
                names: missing,
            });
        }
        for input in task.optional {
            let earlier = providers.get(input.as_str()).into_iter().flatten();
            let nearest_first = earlier.rev().map(|&name| name.to_owned());
            wiring
                .optional
                .push((input.clone(), nearest_first.collect()));
        }
        for name in task.provides {
            providers.entry(name).or_default().push(task.name);
        }
        wirings.push(wiring);
    }
    Ok(wirings)
}

/// Names for a sentence: "`a`, `b` and `c`".
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

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// Wires tasks written as `(name, requires, optional, provides)`.
    fn check(tasks: &[(&str, &str, &str, &str)]) -> Result<Vec<Wiring>, MissingDependencies> {
        let lists: Vec<_> = tasks
            .iter()
            .map(|task| (names(task.1), names(task.2), names(task.3)))
            .collect();
        let ports: Vec<_> = tasks
            .iter()
            .zip(&lists)
            .map(|(task, (requires, optional, provides))| Ports {
                name: task.0,
                requires,
                optional,
                provides,
            })
            .collect();
        wire(&ports)
    }

    #[test]
    fn a_required_input_comes_from_the_nearest_earlier_provider() {
        let wirings = check(&[
            ("far", "", "", "x"),
            ("near", "", "", "x"),
            ("both", "x", "", "x"),
            ("after", "x", "", ""),
        ]);
        let from = |task: &Wiring| task.requires[0].1.clone();
        let wirings = wirings.unwrap();
        assert_eq!(
            from(&wirings[2]),
            "near",
            "a task does not provide for itself"
        );
        assert_eq!(from(&wirings[3]), "both");
    }

    #[test]
    fn an_optional_input_lists_every_earlier_provider_nearest_first() {
        let wirings = check(&[
            ("a", "", "", "x"),
            ("b", "", "", "x y"),
            ("c", "", "x z", ""),
            ("d", "", "", "x"),
        ]);
        let expected = [
            ("x".to_owned(), vec!["b".to_owned(), "a".to_owned()]),
            ("z".to_owned(), vec![]),
        ];
        assert_eq!(wirings.unwrap()[2].optional, expected);
    }

    #[test]
    fn every_missing_name_of_the_first_task_that_misses_one_is_named() {
        let error = check(&[
            ("a", "", "", "x"),
            ("b", "z x y", "", "z"),
            ("c", "nothing", "", "y"),
        ]);
        let error = error.unwrap_err();
        assert_eq!(
            (error.task.as_str(), &error.names[..]),
            ("b", &names("y z")[..])
        );
        assert_eq!(
            error.to_string(),
            "task `b` requires `y` and `z`, which no earlier task provides"
        );
    }
}
