//! What flows that only go forward wait for: keys of records that other flows hold. Two of them can wait for each other for ever.

use std::collections::{BTreeMap, BTreeSet};

use cairn::event::FlowSummary;
use cairn::history::History;
use cairn::records::operator::ReadRecords as _;
use cairn::store::view::Reader;
use cairn::{FlowId, Identity, Value};

use crate::session::Session;

/// How many flows that are not listed are looked at, to find circles.
const MOST: usize = 1000;

/// Which flow each flow waits for.
pub(super) type Holders = BTreeMap<FlowId, FlowId>;

/// Returns the flows that hold what these flows wait for, and what those wait for in turn. A flow whose journal cannot be read is reported and left out.
pub(super) fn holders(session: &Session, reader: &Reader, flows: &[FlowSummary]) -> Holders {
    let mut holders = Holders::new();
    let forward = flows.iter().filter(|flow| flow.forward);
    let mut left: Vec<FlowId> = forward.map(|flow| flow.id).collect();
    let mut seen: BTreeSet<FlowId> = left.iter().copied().collect();
    // Also those that are on another page: a circle may pass through them.
    let most = left.len() + MOST;
    while let Some(flow) = left.pop() {
        match super::journal(session, reader, flow) {
            Ok((_, history)) => {
                let Some(holder) = holder(reader, &history) else {
                    continue;
                };
                holders.insert(flow, holder);
                if seen.len() < most && seen.insert(holder) {
                    left.push(holder);
                }
            }
            Err(failure) => session.warn(&format!("flow {flow}: {}", failure.diagnostic)),
        }
    }
    holders
}

/// Returns the flow that holds the key which a flow was refused last.
fn holder(reader: &Reader, history: &History) -> Option<FlowId> {
    let sleep = history.sleep.as_ref()?;
    let error = history.task(sleep.task)?.retried.as_ref()?;
    if error.kind != "Busy" {
        return None;
    }
    let text = |name: &str| error.details[name].as_str();
    let (collection, key) = (text("collection")?, text("key")?);
    let owner = Identity::new("", &history.requester.project_id);
    // A key that is free again, or a collection that is not set up any more, is waited for no longer.
    let record = reader.view(&owner).record(collection, key).ok()?;
    let flow = record.get("held")?.get("flow").and_then(Value::as_str)?;
    flow.parse().ok()
}

/// Returns the flows that wait for each other in a circle: none of them goes on until an operator ends one.
pub(super) fn circles(holders: &Holders) -> BTreeSet<FlowId> {
    let waits_for_itself = |flow: &FlowId| {
        let mut next = holders.get(flow);
        // A circle has no more members than there are flows.
        for _ in 0..holders.len() {
            match next {
                Some(found) if found == flow => return true,
                Some(found) => next = holders.get(found),
                None => return false,
            }
        }
        false
    };
    holders
        .keys()
        .filter(|flow| waits_for_itself(flow))
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_in_a_circle_are_told_from_those_that_wait_for_it() {
        let flow = |number: &u32| -> FlowId {
            let id = format!("00000000-0000-0000-0000-{number:012}");
            id.parse().expect("it is a UUID")
        };
        let circles = |pairs: &[(u32, u32)]| {
            let holders = pairs.iter().map(|(one, other)| (flow(one), flow(other)));
            let found = circles(&holders.collect());
            (1..=9_u32)
                .filter(|number| found.contains(&flow(number)))
                .collect::<Vec<_>>()
        };
        assert_eq!(circles(&[]), [0_u32; 0]);
        assert_eq!(circles(&[(1, 2), (2, 3)]), [0_u32; 0]);
        assert_eq!(circles(&[(1, 2), (2, 1), (3, 1), (4, 3)]), [1, 2]);
        assert_eq!(circles(&[(1, 2), (2, 3), (3, 1)]), [1, 2, 3]);
        assert_eq!(circles(&[(7, 7)]), [7]);
    }
}
