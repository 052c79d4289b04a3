//! Connections that are cut at chosen messages of a batch, and a network that falls silent.

use std::time::Duration;

use acceptance::slow::eventually;
use cairn_test_postgres::{COMMIT_ANSWER, Cut, Proxy};

use super::{reported, server, under_load};

/// How long a batch may take to come.
const SOON: Duration = Duration::from_secs(1);

/// Cuts connections at each of these places in turn while hosts work. Returns how many cuts were made.
fn cut_at(places: impl Iterator<Item = Cut>) -> Option<usize> {
    let server = server()?;
    let database = server.database();
    let proxy = Proxy::start(server.port()).expect("a port");
    let name = database.name();
    let url = format!("postgres://cairn@127.0.0.1:{}/{name}", proxy.port());
    let mut cuts = 0;
    under_load(&url, &database.url(), |loads| {
        for place in places {
            let before = reported(loads);
            proxy.cut(place);
            if !proxy.was_cut(SOON) {
                // No batch has so many messages.
                break;
            }
            cuts += 1;
            // Every second cut may be one of the connection on which a host reads what became of its batch.
            if cuts % 2 == 0 {
                eventually("flows end", || reported(loads) > before);
            }
        }
    });
    println!("{cuts} cuts");
    Some(cuts)
}

/// The number of messages of a batch is at least this.
const MESSAGES: usize = 20;

/// Places in what is sent: the ends of messages, and within them.
fn sent(messages: usize, is_within: bool) -> Cut {
    let bytes = if is_within { 1 + messages % 7 } else { 0 };
    Cut::Sent { messages, bytes }
}

#[test]
fn a_connection_that_is_cut_in_the_middle_of_a_batch_loses_no_flow() {
    let places = (1..60).map(|messages| sent(messages, messages % 2 == 0));
    if let Some(cuts) = cut_at(places) {
        assert!(cuts >= MESSAGES, "{cuts}");
    }
}

#[test]
#[ignore = "takes half a minute"]
fn a_connection_that_is_cut_at_each_message_of_a_batch_loses_no_flow() {
    let places = (1..60).flat_map(|messages| [false, true].map(|within| sent(messages, within)));
    if let Some(cuts) = cut_at(places) {
        assert!(cuts >= 2 * MESSAGES, "{cuts}");
    }
}

#[test]
fn a_connection_that_is_cut_between_two_answers_to_a_batch_loses_no_flow() {
    let places = (1..60).map(|messages| Cut::Answered { messages, bytes: 0 });
    if let Some(cuts) = cut_at(places) {
        assert!(cuts >= MESSAGES, "{cuts}");
    }
}

#[test]
fn a_connection_that_is_cut_within_the_answer_to_a_commit_loses_no_flow() {
    let places = (0..COMMIT_ANSWER).map(|bytes| Cut::InCommit { bytes });
    if let Some(cuts) = cut_at(places) {
        assert_eq!(cuts, COMMIT_ANSWER);
    }
}
