//! A process that delivers dies anywhere: what was received is what succeeded.

use std::collections::{BTreeMap, BTreeSet};

use acceptance::crash::{Death, Found, RECEIVED, Task};
use cairn::FlowId;
use cairn::event::FlowState;

use super::{End, Lives};

/// Flow -> the ids of its messages that were received, repeats left out.
fn received(lives: &Lives) -> BTreeMap<FlowId, BTreeSet<String>> {
    let text = std::fs::read_to_string(lives.folder.path().join(RECEIVED)).unwrap_or_default();
    let mut received: BTreeMap<FlowId, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines() {
        let (flow, id) = line.split_once(' ').expect("a flow and an id");
        let ids = received.entry(flow.parse().expect("an id")).or_default();
        ids.insert(id.to_owned());
    }
    received
}

fn succeeded(found: &Found) -> BTreeSet<FlowId> {
    let flows = found.flows.iter();
    let flows = flows.filter(|(_, (state, _))| *state == FlowState::Success);
    flows.map(|(id, _)| *id).collect()
}

fn lives(fails: Option<usize>, resumes: bool) -> Lives {
    Lives {
        delivers: true,
        ..Lives::new(fails, resumes, 4)
    }
}

#[test]
fn what_is_received_is_what_succeeded_wherever_a_process_dies() {
    let mut died: BTreeSet<String> = BTreeSet::new();
    for (fails, resumes) in [(None, true), (None, false), (Some(7), true)] {
        let End::Natural(visits) = lives(fails, resumes).live(Task::Run, None) else {
            panic!("a life without a death ended by one");
        };
        for visits in visits {
            for time in BTreeSet::from([1, visits.times]) {
                let death = Death {
                    point: visits.point.clone(),
                    reverting: visits.reverting,
                    time,
                };
                let lives = lives(fails, resumes);
                if !matches!(lives.live(Task::Run, Some(&death)), End::Death) {
                    continue;
                }
                died.insert(death.point.clone());
                let context = format!("{fails:?} {resumes} {death:?}");
                let found = lives.recovered(&context);
                let received = received(&lives);
                let flows: BTreeSet<FlowId> = received.keys().copied().collect();
                assert_eq!(flows, succeeded(&found), "{context}");
                assert!(
                    received.values().all(|ids| ids.len() == 1),
                    "{context}: {received:?}"
                );
            }
        }
    }
    for point in [
        "CastsSettled",
        "BatchCommitted",
        "MessagesPublished",
        "MessagesSettled",
    ] {
        assert!(died.contains(point), "nothing died at {point}: {died:?}");
    }
}
