//! What an outcome comes to in the database.

use cairn_effects::outbox::{Delivery, Message};
use cairn_effects::rows::Text;
use cairn_model::clock::Timestamp;

use super::Limits;
use crate::backoff;
use crate::transport::Outcome;

/// The most bytes of an error that are kept.
const MOST: usize = 500;

/// Why a message was not delivered; `None` of one that was.
pub(super) fn reason(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Confirmed => None,
        Outcome::Unroutable(reason)
        | Outcome::Refused(reason)
        | Outcome::Retry { reason, .. }
        | Outcome::Unreached(reason) => Some(reason),
    }
}

/// What is recorded of messages: nothing of those of which the database says it already.
pub(super) fn deliveries(
    messages: &[Message],
    outcomes: &[Outcome],
    limits: Limits,
    now: Timestamp,
) -> Vec<(Text, Delivery)> {
    let both = messages.iter().zip(outcomes);
    both.filter_map(|(message, outcome)| {
        let delivery = delivery(message, outcome, limits, now)?;
        Some((Text::clone(&message.id), delivery))
    })
    .collect()
}

fn delivery(
    message: &Message,
    outcome: &Outcome,
    limits: Limits,
    now: Timestamp,
) -> Option<Delivery> {
    let Some(reason) = reason(outcome) else {
        return Some(Delivery::Done);
    };
    let error = Text::from(cut(reason));
    let is_old = now.since(message.since) >= limits.max_age;
    let attempts = match outcome {
        Outcome::Unreached(_) => message.attempts,
        _ => message.attempts.saturating_add(1),
    };
    let after = match outcome {
        Outcome::Confirmed => return Some(Delivery::Done),
        Outcome::Refused(_) => return Some(Delivery::Failed { attempts, error }),
        _ if is_old => return Some(Delivery::Failed { attempts, error }),
        Outcome::Unreached(_) => {
            // It stays due. The operator is told once.
            let is_known = message.last_error.as_deref() == Some(&*error);
            return (!is_known).then_some(Delivery::Again {
                attempts,
                due_at: message.due_at,
                error,
            });
        }
        Outcome::Unroutable(_) => None,
        Outcome::Retry { after, .. } => *after,
    };
    if attempts >= limits.attempts {
        return Some(Delivery::Failed { attempts, error });
    }
    let asked = after.unwrap_or_default().min(backoff::LONGEST);
    Some(Delivery::Again {
        attempts,
        due_at: now.after(backoff::after_attempt(attempts).max(asked)),
        error,
    })
}

/// The beginning of an error.
fn cut(reason: &str) -> &str {
    let end = (0..=MOST.min(reason.len())).rev();
    let end = end.into_iter().find(|end| reason.is_char_boundary(*end));
    &reason[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: Limits = Limits {
        attempts: 3,
        max_age: Duration::from_secs(100),
        most: 1,
    };

    fn message(attempts: i64) -> Message {
        Message {
            attempts,
            ..Message::default()
        }
    }

    fn again(attempts: i64, outcome: &Outcome) -> Duration {
        let now = Timestamp(0);
        match delivery(&message(attempts), outcome, LIMITS, now) {
            Some(Delivery::Again { due_at, .. }) => due_at.since(now),
            other => panic!("{other:?}"),
        }
    }

    fn retry(after: Option<u64>) -> Outcome {
        Outcome::Retry {
            reason: "busy".to_owned(),
            after: after.map(Duration::from_secs),
        }
    }

    #[test]
    fn a_message_is_tried_again_after_a_wait_that_the_receiver_may_lengthen() {
        let wait = again(0, &retry(None));
        assert!(
            wait >= Duration::from_millis(500) && wait <= Duration::from_secs(1),
            "{wait:?}"
        );
        assert_eq!(again(0, &retry(Some(40))), Duration::from_secs(40));
        assert_eq!(again(0, &retry(Some(u64::MAX))), backoff::LONGEST);
        assert!(again(1, &Outcome::Unroutable("no queue".to_owned())) >= Duration::from_secs(1));
    }

    #[test]
    fn a_message_fails_after_its_attempts_its_age_or_a_refusal() {
        let failed = |attempts, outcome: &Outcome, now| {
            matches!(
                delivery(&message(attempts), outcome, LIMITS, Timestamp(now)),
                Some(Delivery::Failed { .. })
            )
        };
        assert!(!failed(1, &retry(None), 0));
        assert!(failed(2, &retry(None), 0));
        assert!(!failed(0, &retry(None), 99_000_000));
        assert!(failed(0, &retry(None), 100_000_000));
        assert!(failed(
            0,
            &Outcome::Unreached("gone".to_owned()),
            100_000_000
        ));
        assert!(failed(0, &Outcome::Refused("never".to_owned()), 0));
        assert!(!failed(7, &Outcome::Unreached("gone".to_owned()), 0));
    }

    #[test]
    fn that_nobody_was_reached_is_no_attempt_and_is_recorded_once() {
        let outcome = Outcome::Unreached("gone".to_owned());
        let first = delivery(&message(1), &outcome, LIMITS, Timestamp(5));
        let Some(Delivery::Again {
            attempts, due_at, ..
        }) = first
        else {
            panic!("{first:?}");
        };
        assert_eq!((attempts, due_at), (1, Timestamp(0)));
        let known = Message {
            last_error: Some("gone".into()),
            ..message(1)
        };
        assert_eq!(delivery(&known, &outcome, LIMITS, Timestamp(5)), None);
    }

    #[test]
    fn an_error_is_cut_at_a_character() {
        let long = "é".repeat(MOST);
        assert_eq!(cut(&long).len(), MOST);
        assert_eq!(cut(&format!("x{long}")).len(), MOST - 1);
        assert_eq!(cut("short"), "short");
    }
}
