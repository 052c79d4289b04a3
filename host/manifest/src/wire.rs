//! Finds the provider of each input of each task.

use std::collections::BTreeMap;

/// The inputs and outputs of one task, by name.
#[derive(Clone, Copy, Debug)]
pub struct Ports<'a, T> {
    /// The task, as its consumers' [`Wiring`] refers to it.
    pub task: T,
    /// Inputs that an earlier task must provide.
    pub requires: &'a [String],
    /// Inputs that are used if they exist.
    pub optional: &'a [String],
    /// Names that its result contains.
    pub provides: &'a [String],
}

/// The providers of one task's inputs; each list in the order of the task's declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wiring<T> {
    /// Each required input with the nearest earlier task that provides it.
    pub requires: Vec<(String, T)>,
    /// Each optional input with every earlier task that provides it, nearest first.
    pub optional: Vec<(String, Vec<T>)>,
}

/// A task whose required inputs no earlier task provides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing<T> {
    /// The task.
    pub task: T,
    /// All missing inputs, sorted, without duplicates.
    pub names: Vec<String>,
}

/// Wires tasks, given in the order in which they run: a required input comes from the nearest earlier task that provides it,
/// never from the task itself.
///
/// # Errors
/// All tasks with missing inputs, in order; at least one.
pub fn wire<T: Copy>(tasks: &[Ports<'_, T>]) -> Result<Vec<Wiring<T>>, Vec<Missing<T>>> {
    let mut providers: BTreeMap<&str, Vec<T>> = BTreeMap::new();
    let mut wirings = Vec::with_capacity(tasks.len());
    let mut missing = Vec::new();
    for ports in tasks {
        let nearest = |input: &String| providers.get(input.as_str())?.last().copied();
        let mut requires = Vec::with_capacity(ports.requires.len());
        let mut names = Vec::new();
        for input in ports.requires {
            match nearest(input) {
                Some(provider) => requires.push((input.clone(), provider)),
                None => names.push(input.clone()),
            }
        }
        if !names.is_empty() {
            names.sort();
            names.dedup();
            missing.push(Missing {
                task: ports.task,
                names,
            });
        }
        let optional = ports.optional.iter().map(|input| {
            let earlier = providers.get(input.as_str()).into_iter().flatten();
            (input.clone(), earlier.rev().copied().collect())
        });
        wirings.push(Wiring {
            requires,
            optional: optional.collect(),
        });
        for name in ports.provides {
            providers.entry(name).or_default().push(ports.task);
        }
    }
    match missing.is_empty() {
        true => Ok(wirings),
        false => Err(missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// Wires tasks written as `(name, requires, optional, provides)`.
    fn check<'t>(
        tasks: &[(&'t str, &str, &str, &str)],
    ) -> Result<Vec<Wiring<&'t str>>, Vec<Missing<&'t str>>> {
        let lists: Vec<_> = tasks
            .iter()
            .map(|task| (names(task.1), names(task.2), names(task.3)))
            .collect();
        let ports: Vec<_> = tasks
            .iter()
            .zip(&lists)
            .map(|(task, (requires, optional, provides))| Ports {
                task: task.0,
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
        let wirings = wirings.unwrap();
        let from = |task: usize| wirings[task].requires[0].1;
        assert_eq!(from(2), "near", "a task does not provide for itself");
        assert_eq!(from(3), "both");
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
            ("x".to_owned(), vec!["b", "a"]),
            ("z".to_owned(), Vec::new()),
        ];
        assert_eq!(wirings.unwrap()[2].optional, expected);
    }

    #[test]
    fn every_missing_name_of_every_task_that_misses_one_is_named() {
        let missing = check(&[
            ("a", "", "", "x"),
            ("b", "z x y z", "", "z"),
            ("c", "nothing", "", "y"),
        ]);
        let of = |task, text| Missing {
            task,
            names: names(text),
        };
        assert_eq!(missing, Err(vec![of("b", "y z"), of("c", "nothing")]));
    }
}
