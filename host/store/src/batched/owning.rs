//! The projects whose rows the writer may change: those that this process owns, where several share a database.

use cairn_effects::rows::{Draft, Rows, RunRecord, Stop, Text};
use cairn_model::error::TaskError;
use cairn_model::id::FlowId;

use super::writer::Writer;
use crate::backend::Backend;
use crate::partitions::Partitions;
use crate::{Caller, StoreError};

impl<B: Backend> Writer<B> {
    /// Claims a project for this process. Its rows in memory are dropped if it belonged to another one: they may be wrong.
    pub(crate) fn own(&mut self, project_id: &str) -> Result<(), StoreError> {
        if self
            .ledger
            .backend
            .owned()
            .is_none_or(|owned| owned.own(project_id))
        {
            return Ok(());
        }
        let owned = self.ledger.backend.own(project_id);
        self.ledger.settled(owned)?;
        self.forget_claimed()
    }

    /// Notes that partitions were given back, with these flows that rest between two tasks: whoever continues one loads it again, this
    /// process too. Rows in memory are another host's now.
    pub(crate) fn gave_back(&mut self, moved: &[FlowId]) {
        for flow in moved {
            if let Some(session) = self.ledger.flows.get_mut(flow) {
                session.lost.get_or_insert(StoreError::WentOn(*flow));
            }
        }
        self.ledger.overlay.forget();
    }

    /// Drops the rows in memory after a claim. The open batch, which was decided by them, is committed first.
    pub(crate) fn forget_claimed(&mut self) -> Result<(), StoreError> {
        if !self.ledger.backend.has_claimed() {
            return Ok(());
        }
        self.ledger.commit()?;
        self.ledger.overlay.forget();
        self.ledger.begin_as_host()
    }

    /// Runs rules that change rows. If they change a project's that this process does not own, their changes are dropped and the project
    /// is claimed: they answer [`Stop::Missing`] and run again.
    ///
    /// # Errors
    /// `Elsewhere`, with the project, when a live host owns it; those of the backend.
    pub(super) fn changes<T>(
        &mut self,
        by: Caller<'_>,
        draft: &mut Draft,
        rules: impl FnOnce(&mut Rows<'_>) -> Result<T, Stop>,
    ) -> Result<(Result<T, Stop>, RunRecord), StoreError> {
        let owned = self.ledger.backend.owned();
        let mut foreign = Vec::new();
        let done = self.rules(by, draft, |rows| {
            let answer = rules(rows)?;
            foreign = check_owned(rows, owned.as_ref());
            match foreign.is_empty() {
                true => Ok(answer),
                false => Err(Stop::Missing),
            }
        });
        self.own_all(foreign)?;
        Ok(done)
    }

    /// Claims the projects whose rows an effect wants to change.
    fn own_all(&mut self, projects: Vec<Text>) -> Result<(), StoreError> {
        for project in projects {
            self.own(&project).map_err(|error| match error {
                StoreError::Elsewhere { .. } => {
                    let message = format!("project `{project}`: {error}");
                    TaskError::new("Elsewhere", message).into()
                }
                error => error,
            })?;
        }
        Ok(())
    }
}

/// Returns the projects whose rows were changed and that this process does not own.
fn check_owned(rows: &Rows<'_>, owned: Option<&Partitions>) -> Vec<Text> {
    let Some(owned) = owned else {
        return Vec::new();
    };
    let owners = rows.owners().into_iter();
    owners.filter(|project| !owned.own(project)).collect()
}
