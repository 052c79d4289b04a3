//! Counts of flows, by states and by errors.

use serde::Serialize;

use cairn_effects::event::FlowState;
use cairn_effects::rows::Cell;
use cairn_model::clock::Timestamp;
use cairn_model::id::FlowId;

use super::View;
use crate::StoreError;
use crate::sql::Columns;

/// How many failed flows are counted at most, the newest ones.
const COUNTED: i64 = 10_000;

/// How many flows are in each state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FlowCounts {
    /// Each state of which there are flows, in the order of [`FlowState::ALL`].
    pub states: Vec<StateCount>,
}

/// How many flows are in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StateCount {
    /// The state.
    pub state: FlowState,
    /// How many.
    pub flows: u64,
}

/// How many flows have an error of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorCount {
    /// The kind of the error, as the flow's task or the host named it.
    pub kind: String,
    /// How many flows.
    pub flows: u64,
}

impl FlowCounts {
    /// Returns how many flows there are in all states.
    pub fn total(&self) -> u64 {
        self.states.iter().map(|count| count.flows).sum()
    }

    /// Returns how many flows are in a state.
    pub fn of(&self, state: FlowState) -> u64 {
        let mut states = self.states.iter();
        states
            .find(|count| count.state == state)
            .map_or(0, |count| count.flows)
    }
}

impl View<'_> {
    /// Counts flows by their states: all of them, or those that were asked for at `since` or later, as their ids say. An admin's view counts
    /// those of all projects unless `project` names one; any other view those of the caller's project.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn flow_counts(
        &self,
        project: Option<&str>,
        since: Option<Timestamp>,
    ) -> Result<FlowCounts, StoreError> {
        let mut counts = FlowCounts::default();
        let least = FlowId::least_at(since.unwrap_or(Timestamp::EARLIEST));
        for state in FlowState::ALL {
            let mut parameters: Vec<Cell> = vec![state.as_str().into(), least.into()];
            let of_project = match self.countable(project) {
                Some(project) => {
                    parameters.push(project.into());
                    "AND project_id = $3"
                }
                None => "",
            };
            let statement =
                format!("SELECT count(*) FROM flows WHERE state = $1 AND id >= $2 {of_project}");
            let rows = self.query(&statement, &parameters)?;
            let flows = rows.first().map_or(Ok(0), |row| Columns(row).int(0))?;
            if flows > 0 {
                let flows = flows.unsigned_abs();
                counts.states.push(StateCount { state, flows });
            }
        }
        Ok(counts)
    }

    /// Counts the flows that were asked for at `since` or later and failed, by the kinds of their errors: the `most` frequent ones first. Of
    /// more than 10,000 the newest are counted. Scoped as [`flow_counts`](Self::flow_counts).
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn error_counts(
        &self,
        project: Option<&str>,
        since: Timestamp,
        most: usize,
    ) -> Result<Vec<ErrorCount>, StoreError> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let mut parameters: Vec<Cell> =
            vec![FlowId::least_at(since).into(), COUNTED.into(), most.into()];
        let of_project = match self.countable(project) {
            Some(project) => {
                parameters.push(project.into());
                "AND project_id = $4"
            }
            None => "",
        };
        let statement = format!(
            "SELECT error, count(*) FROM (SELECT error FROM flows WHERE state = 'FAILURE' AND id >= $1 {of_project}
                 ORDER BY id DESC LIMIT $2) AS failed
             WHERE error IS NOT NULL GROUP BY error ORDER BY 2 DESC, 1 LIMIT $3"
        );
        let rows = self.query(&statement, &parameters)?;
        let counts = rows.iter().map(|row| {
            let row = Columns(row);
            Ok(ErrorCount {
                kind: row.text(0)?,
                flows: row.int(1)?.unsigned_abs(),
            })
        });
        counts.collect()
    }

    /// Returns the project whose flows are counted; `None` for all.
    fn countable<'p>(&'p self, project: Option<&'p str>) -> Option<&'p str> {
        match self.requester().is_admin {
            true => project,
            false => Some(&self.requester().project_id),
        }
    }
}
