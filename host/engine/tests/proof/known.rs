//! Objects that tasks know of: the answers of all effects so far.

use crate::plan::{PROJECTS, Pick, Whose};

#[derive(Clone, Default)]
pub struct Known {
    pub volumes: Vec<Thing>,
    pub keys: Vec<Thing>,
    pub reservations: Vec<Thing>,
}

#[derive(Clone)]
pub struct Thing {
    /// The object's id, or the ids of one reservation.
    pub ids: Vec<String>,
    /// Flow and task; `None` for an object that exists from the start.
    pub made_by: Option<(usize, usize)>,
    /// Made in a call: a revert may take it back by hand.
    pub in_call: bool,
    /// Reserved amounts: index of the resource, and amount.
    pub deltas: Vec<(usize, i64)>,
    pub project: usize,
}

impl Known {
    /// Returns the objects in every new database: two volumes in each project.
    pub fn at_start() -> Self {
        let volumes = (0..PROJECTS.len()).flat_map(|project| {
            (0..2).map(move |number| Thing {
                ids: vec![first_volume(project, number)],
                made_by: None,
                in_call: false,
                deltas: Vec::new(),
                project,
            })
        });
        Self {
            volumes: volumes.collect(),
            ..Self::default()
        }
    }
}

/// Returns the id of a volume that exists from the start.
pub fn first_volume(project: usize, number: usize) -> String {
    format!("volume-{}-{number}", PROJECTS[project])
}

/// Returns the object that task `by` picks.
pub fn picked(things: &[Thing], by: (usize, usize), pick: Pick) -> Option<&Thing> {
    let fits = |thing: &&Thing| match (pick.whose, thing.made_by) {
        (Whose::Anyone, _) | (Whose::Nobody, None) => true,
        (Whose::Task, made_by) => made_by == Some(by),
        (Whose::Flow, Some((flow, _))) => flow == by.0,
        (Whose::Others, Some((flow, _))) => flow != by.0,
        (Whose::Flow | Whose::Others, None) | (Whose::Nobody, Some(_)) => false,
    };
    let fitting: Vec<_> = things.iter().rev().filter(fits).collect();
    (!fitting.is_empty()).then(|| fitting[pick.index % fitting.len()])
}
