//! What callers are told whose forwarded requests this host follows no longer.

use std::collections::HashSet;

use cairn_model::id::FlowId;
use cairn_store::StoreError;
use cairn_store::shared::Inbox;

use crate::host::HostError;
use crate::host::keeper::{Following, Outgoing};

/// Withdraws the requests of callers, and tells each of them what it may rely on.
///
/// # Errors
/// The inbox could not be reached, so nothing was withdrawn. The callers were told nevertheless.
pub(super) fn dismiss(
    inbox: &mut dyn Inbox,
    following: Vec<Following>,
    outgoing: Vec<Outgoing>,
) -> Result<(), StoreError> {
    let tried = outgoing.iter().filter(|one| one.tried);
    let tried = tried.map(|one| one.request.flow);
    let flows: Vec<FlowId> = following.iter().map(|one| one.flow).chain(tried).collect();
    let (withdrawn, result) = match flows.is_empty() {
        true => (Vec::new(), Ok(())),
        false => match inbox.withdraw(&flows) {
            Ok(withdrawn) => (withdrawn, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        },
    };
    let withdrawn: HashSet<FlowId> = withdrawn.into_iter().collect();
    for one in following {
        (one.tell)(Err(match withdrawn.contains(&one.flow) {
            true => HostError::NotStarted,
            false => HostError::GoesOn(one.flow),
        }));
    }
    for one in outgoing {
        let flow = one.request.flow;
        (one.tell)(Err(match one.tried && !withdrawn.contains(&flow) {
            // Its owner has taken it, it was never written, or it still arrives.
            true => not_known(flow),
            false => HostError::NotStarted,
        }));
    }
    result
}

/// Returns the error for a caller of whose request nothing is known.
pub(super) fn not_known(flow: FlowId) -> HostError {
    let message = format!(
        "the database did not answer, so what became of flow {flow} is not known: `cairn flow show {flow}` shows it later"
    );
    StoreError::Database(message).into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::mpsc::{Sender, channel};
    use std::time::Instant;

    use cairn_store::shared::{Fate, Forwarded, Partitions, partition_of};

    use super::*;
    use crate::host::caller::Tell;
    use crate::host::forward;

    /// An inbox whose answers to requests that are put into it are lost.
    #[derive(Default)]
    struct Losing {
        waiting: Vec<FlowId>,
        /// The owner takes what is put into it at once.
        taken: bool,
        unreachable: bool,
    }

    fn lost<T>() -> Result<T, StoreError> {
        Err(StoreError::Database("the connection is closed".to_owned()))
    }

    impl Inbox for Losing {
        fn put(&mut self, requests: &[Forwarded]) -> Result<Vec<FlowId>, StoreError> {
            if !self.taken {
                self.waiting.extend(requests.iter().map(|one| one.flow));
            }
            lost()
        }

        fn open(
            &mut self,
            _: &[FlowId],
            _: &Partitions,
            _: usize,
        ) -> Result<Vec<Forwarded>, StoreError> {
            lost()
        }

        fn fates(&mut self, _: &[FlowId]) -> Result<Vec<(FlowId, Fate)>, StoreError> {
            lost()
        }

        fn withdraw(&mut self, flows: &[FlowId]) -> Result<Vec<FlowId>, StoreError> {
            if self.unreachable {
                return lost();
            }
            let is_asked = |flow: &mut FlowId| flows.contains(flow);
            Ok(self.waiting.extract_if(.., is_asked).collect())
        }

        fn tidy(&mut self) -> Result<(), StoreError> {
            lost()
        }
    }

    type Told = Sender<(FlowId, HostError)>;

    fn tell(told: &Told, flow: FlowId) -> Tell {
        let told = told.clone();
        Box::new(move |report| told.send((flow, report.unwrap_err())).unwrap())
    }

    fn outgoing(told: &Told) -> Outgoing {
        let flow = FlowId::new();
        Outgoing {
            request: Forwarded {
                flow,
                project_id: "acme".to_owned(),
                request: "{}".to_owned(),
            },
            note: None,
            has_key: false,
            tried: false,
            tell: tell(told, flow),
        }
    }

    fn following(told: &Told) -> Following {
        let flow = FlowId::new();
        Following {
            flow,
            since: Instant::now(),
            part: partition_of("acme"),
            failing: None,
            note: None,
            tell: tell(told, flow),
        }
    }

    /// What a caller was told whose request was sent, and whose answer was lost; what one was told whose request was not sent; and what
    /// one was told whose request is in the inbox.
    fn told_when(mut inbox: Losing) -> [HostError; 3] {
        let (told, hears) = channel();
        let sent = forward::send(&mut inbox, vec![outgoing(&told)]);
        sent.result.unwrap_err();
        assert_eq!(sent.written.len(), 0);
        let follows = following(&told);
        if !inbox.taken {
            inbox.waiting.push(follows.flow);
        }
        let mut left = sent.left;
        left.push(outgoing(&told));
        let order = [left[0].request.flow, left[1].request.flow, follows.flow];
        let is_unreachable = inbox.unreachable;
        let dismissed = dismiss(&mut inbox, vec![follows], left);
        assert_eq!(dismissed.is_err(), is_unreachable);
        assert_eq!(inbox.waiting.is_empty(), !is_unreachable);
        drop(told);
        let mut answers: HashMap<FlowId, HostError> = hears.into_iter().collect();
        order.map(|flow| answers.remove(&flow).expect("each is told"))
    }

    #[track_caller]
    fn is_not_known(error: &HostError) {
        let text = error.to_string();
        assert!(text.contains("is not known: `cairn flow show "), "{text}");
    }

    #[test]
    fn a_request_whose_answer_was_lost_is_withdrawn_if_nobody_has_taken_it() {
        let told = told_when(Losing::default());
        assert!(
            matches!(
                told,
                [
                    HostError::NotStarted,
                    HostError::NotStarted,
                    HostError::NotStarted
                ]
            ),
            "{told:?}"
        );
    }

    #[test]
    fn whoever_sent_a_request_is_never_told_that_a_flow_was_not_started_which_may_have_begun() {
        let taken = Losing {
            taken: true,
            ..Losing::default()
        };
        let unreachable = Losing {
            unreachable: true,
            ..Losing::default()
        };
        for inbox in [taken, unreachable] {
            let [tried, unsent, follows] = told_when(inbox);
            is_not_known(&tried);
            assert!(matches!(unsent, HostError::NotStarted), "{unsent}");
            assert!(matches!(follows, HostError::GoesOn(_)), "{follows}");
        }
    }
}
