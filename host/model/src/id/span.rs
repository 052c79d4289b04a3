//! The ids of a flow's trace and spans. They follow from the flow's id and its journal, so every process computes the same ones.

use super::{CallId, FlowId, Phase};
use crate::trace::{Sample, SpanId, TraceContext, TraceId};

impl FlowId {
    /// Returns the context of a flow whose request names no trace: a trace whose id is that of the flow.
    pub fn trace(self, sample: Sample) -> TraceContext {
        TraceContext::root(TraceId::new(self.0.as_u128()), self.span(), sample)
    }

    /// Returns whether the flow's span is the first one of its trace.
    pub fn is_root_of(self, trace: TraceContext) -> bool {
        trace.parent_id == self.span()
    }

    /// Returns the span of the flow, from its creation to its end.
    pub fn span(self) -> SpanId {
        SpanId::derived("flow", &[self.0.as_bytes()])
    }

    /// Returns the span of an act on an object outside the database, whose name is unique: `make` or `remove`, from its intent until it is known
    /// what became of it.
    pub fn span_of_act(self, act: &str, object: &str) -> SpanId {
        let parts = [self.0.as_bytes(), act.as_bytes(), object.as_bytes()];
        SpanId::derived("act", &parts)
    }

    /// Returns the span of what begins with this entry of the flow's journal, counted from 0.
    pub fn span_of_entry(self, entry: u64) -> SpanId {
        SpanId::derived("entry", &[self.0.as_bytes(), &entry.to_be_bytes()])
    }

    /// Returns the span of the commit whose first entry of this flow has this number.
    pub fn span_of_commit(self, first: u64) -> SpanId {
        SpanId::derived("commit", &[self.0.as_bytes(), &first.to_be_bytes()])
    }
}

impl CallId {
    /// Returns the span of the attempt.
    pub fn span(self) -> SpanId {
        let kind = match self.phase {
            Phase::Call => "call",
            Phase::Revert => "revert",
        };
        let (flow, task) = (self.flow.0.as_bytes(), self.task.0.as_bytes());
        SpanId::derived(kind, &[flow, task, &self.attempt.to_be_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::TaskId;

    const SENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_flow_without_a_trace_begins_one_of_its_own_id() {
        let flow = FlowId::new();
        let context = flow.trace(Sample::ALL);
        assert_eq!(context.trace_id.to_string(), flow.0.simple().to_string());
        assert!(flow.is_root_of(context));
        let sent: TraceContext = SENT.parse().unwrap();
        assert!(!flow.is_root_of(sent));
    }

    #[test]
    fn a_share_of_the_traces_is_recorded() {
        let recorded = |share| {
            let sample = Sample::of(share).unwrap();
            let flows = (0..2_000).map(|_| FlowId::new());
            flows.filter(|flow| flow.trace(sample).is_sampled).count()
        };
        assert_eq!((recorded(0.0), recorded(1.0)), (0, 2_000));
        // Ten standard deviations.
        assert!((776..1_224).contains(&recorded(0.5)));
        assert_eq!([-0.1, 1.1, f64::NAN].map(Sample::of), [None; 3]);
        assert_eq!(Sample::of(1.0), Some(Sample::ALL));
    }

    #[test]
    fn spans_of_a_flow_have_ids_of_their_own_that_never_change() {
        let flow = FlowId("01a224b9-6747-75f6-8b56-6ecbf5e3f709".parse().unwrap());
        let call = CallId {
            flow,
            task: TaskId(flow.0),
            phase: Phase::Call,
            attempt: 1,
        };
        let ids = [
            flow.span(),
            call.span(),
            CallId { attempt: 2, ..call }.span(),
            CallId {
                phase: Phase::Revert,
                ..call
            }
            .span(),
            flow.span_of_entry(1),
            flow.span_of_entry(2),
            flow.span_of_act("make", "v"),
            flow.span_of_act("remove", "v"),
            flow.span_of_commit(1),
        ];
        for (at, id) in ids.iter().enumerate() {
            assert!(!ids[..at].contains(id), "{id} twice");
        }
        // Spans of one flow come from several processes, and from several versions.
        assert_eq!(flow.span().to_string(), "4aac21b5c71a421d");
    }
}
