//! Finds flows by an id or a key that has to do with them.

mod journals;
mod reason;
mod rows;

use std::time::{Duration, Instant};

use serde::Serialize;

use cairn_effects::event::FlowSummary;
use cairn_model::clock::{self, Timestamp};
use cairn_model::id::{FlowId, IdPrefix};

use super::{FlowFilter, View};
use crate::StoreError;

/// How many reasons are given for one flow.
const REASONS: usize = 8;

/// The bounds of a search.
#[derive(Clone, Copy, Debug)]
pub struct Within {
    /// How long journals may be searched; `None` for all of them.
    pub time: Option<Duration>,
    /// The most flows to return; at least 1.
    pub flows: usize,
}

/// What a search found.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// The flows, in the order in which they were found: those of indexes, then those of journals, newest first.
    pub flows: Vec<Match>,
    /// How far journals were searched; `None` if the text is the id of a flow or an idempotency key, for which none is read.
    pub searched: Option<Searched>,
}

/// A flow that has to do with the text.
#[derive(Clone, Debug, Serialize)]
pub struct Match {
    /// The flow.
    pub id: FlowId,
    /// The flow as lists show it; `None` if it was pruned, and its idempotency key is still kept.
    pub flow: Option<FlowSummary>,
    /// What it has to do with the text, such as `made volume 0190…`; at most 8 reasons. They hold text of requests and plugins.
    pub why: Vec<String>,
}

/// How far a search went through journals, from the newest flow to the oldest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Searched {
    /// How many flows were looked at.
    pub flows: u64,
    /// How many of them have a journal that cannot be read.
    pub unreadable: u64,
    /// When the oldest of them was created; `None` if there are none.
    #[serde(serialize_with = "clock::as_optional_text")]
    pub back_to: Option<Timestamp>,
    /// Whether all flows were looked at: false when the time was up, or enough flows were found.
    pub is_complete: bool,
}

impl View<'_> {
    /// Finds flows by the id of a flow or by a prefix of it (see [`IdPrefix`]), an idempotency key, the id of a request, a trace, a message or an
    /// object outside the database, or by any id that an effect touched. An admin's view finds flows of all projects, any other view those
    /// of the caller's project.
    ///
    /// Looks in indexes first: at ids of flows, at keys, and at rows that name the flow that made them; there a prefix of an id will do. Then
    /// searches journals for the whole text, within the bounds, unless it is the id of a flow or a key.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn search(&self, text: &str, within: Within) -> Result<Found, StoreError> {
        let until = within.time.map(|time| Instant::now() + time);
        let mut finds = Finds {
            view: self,
            most: within.flows.max(1),
            flows: Vec::new(),
        };
        let prefix: Option<IdPrefix> = text.parse().ok();
        if let Some(prefix) = &prefix {
            self.flows_by_id(prefix, &mut finds)?;
        }
        rows::by_key(text, &mut finds)?;
        if !finds.flows.is_empty() {
            return Ok(Found {
                flows: finds.flows,
                searched: None,
            });
        }
        rows::by_row(text, prefix.as_ref(), &mut finds)?;
        let searched = journals::search(text, until, &mut finds)?;
        Ok(Found {
            flows: finds.flows,
            searched: Some(searched),
        })
    }

    fn flows_by_id(&self, prefix: &IdPrefix, finds: &mut Finds<'_>) -> Result<(), StoreError> {
        let (lowest, highest) = prefix.range();
        let filter = FlowFilter {
            ids: Some((FlowId(lowest), FlowId(highest))),
            project: finds.project(),
            ..FlowFilter::default()
        };
        for flow in self.flows(filter, finds.most)? {
            finds.flows.push(Match {
                id: flow.id,
                flow: Some(flow),
                why: vec!["its id".to_owned()],
            });
        }
        Ok(())
    }
}

/// The flows that were found so far.
struct Finds<'v> {
    view: &'v View<'v>,
    most: usize,
    flows: Vec<Match>,
}

impl<'v> Finds<'v> {
    /// Returns the project whose flows may be found; `None` for all.
    fn project(&self) -> Option<&'v str> {
        let caller = self.view.requester();
        (!caller.is_admin).then_some(&*caller.project_id)
    }

    fn is_full(&self) -> bool {
        self.flows.len() >= self.most
    }

    /// Adds a flow, if the caller may see it, or one more reason for it.
    fn add(&mut self, id: FlowId, why: String) -> Result<(), StoreError> {
        if let Some(known) = self.flows.iter_mut().find(|found| found.id == id) {
            if known.why.len() < REASONS && !known.why.contains(&why) {
                known.why.push(why);
            }
            return Ok(());
        }
        if self.is_full() {
            return Ok(());
        }
        let flow = self.view.flow(id)?;
        let is_visible = flow.as_ref().is_some_and(|flow| {
            self.project()
                .is_none_or(|project| flow.project_id == project)
        });
        if is_visible {
            let why = vec![why];
            self.flows.push(Match { id, flow, why });
        }
        Ok(())
    }
}
