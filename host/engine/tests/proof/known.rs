//! What tasks know of each other's things: everything that an effect ever answered.

use crate::plan::{PROJECTS, Pick, Whose};

#[derive(Clone, Default)]
pub struct Known {
    pub volumes: Vec<Thing>,
    pub keys: Vec<Thing>,
    pub reservations: Vec<Thing>,
}

#[derive(Clone)]
pub struct Thing {
    /// One id, or those of one reservation.
    pub ids: Vec<String>,
    /// Which flow and which task of it; `None` for what was there from the start.
    pub made_by: Option<(usize, usize)>,
    /// In a call: what a revert takes back by hand.
    pub in_call: bool,
    /// What was reserved: whose, of which resource, how much.
    pub deltas: Vec<(usize, i64)>,
    pub project: usize,
}

impl Known {
    /// What every database starts with: two volumes in each project.
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

/// Id of a volume that is there from the start.
pub fn first_volume(project: usize, number: usize) -> String {
    format!("volume-{}-{number}", PROJECTS[project])
}

/// The thing that task `by` means.
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
