//! Messages as HTTP requests.
//!
//! The URL of a topic is fixed in the settings: topic and method are in the body alone. A request is a POST of a JSON object with the
//! headers `Idempotency-Key` (the message's id), `Cairn-Timestamp` (seconds since 1970), `Cairn-Signature`, and `traceparent` if its flow
//! belongs to a trace. No redirect is followed, and no proxy is taken from the environment.

mod answer;
mod sign;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use serde_json::{Value, json};
use ureq::Agent;

use cairn_effects::outbox::Message;
use cairn_manifest::config::HttpConfig;
use cairn_model::error::Diagnostic;
use cairn_model::secret::Secret;

use crate::agent::{self, AT_ONCE};
use crate::transport::{Outcome, Transport};

/// Sends messages to URLs.
pub struct Http {
    agent: Agent,
    /// Topic, or the beginning of topics and `*` -> URL.
    topics: BTreeMap<String, String>,
    key: Secret,
}

impl Http {
    /// Makes a transport with these settings, whose requests take no longer than `timeout` each.
    ///
    /// # Errors
    /// The key or the file of authorities cannot be read.
    pub fn open(config: &HttpConfig, timeout: Duration) -> Result<Self, Diagnostic> {
        let key = config.key.read().map_err(|error| {
            Diagnostic::new(format!("the key that signs messages is not there: {error}"))
                .help("see key_file, key_variable and key_command in [deliver]")
        })?;
        let agent = agent::make(timeout, config.ca.as_deref(), "deliver")?;
        let topics = config.topics.iter();
        Ok(Self {
            agent,
            topics: topics
                .map(|(topic, url)| (topic.clone(), url.text()))
                .collect(),
            key,
        })
    }

    /// The URL of a topic: that of its own name, else that of the longest beginning.
    fn url(&self, topic: &str) -> Option<&str> {
        if let Some(url) = self.topics.get(topic).filter(|_| !topic.ends_with('*')) {
            return Some(url);
        }
        let beginnings = self.topics.iter().filter_map(|(pattern, url)| {
            let beginning = pattern.strip_suffix('*')?;
            topic
                .starts_with(beginning)
                .then_some((beginning.len(), url))
        });
        let (_, url) = beginnings.max_by_key(|(length, _)| *length)?;
        Some(url)
    }

    fn send(&self, message: &Message, silent: &Silent) -> Outcome {
        let Some(url) = self.url(&message.topic) else {
            return Outcome::Unroutable(format!(
                "[deliver.topics] has no URL for topic `{}`",
                message.topic
            ));
        };
        if let Some(reason) = silent.reason(url) {
            return Outcome::Retry {
                reason,
                after: None,
            };
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs().to_string();
        let body = body(message);
        let request = self
            .agent
            .post(url)
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", &*message.id)
            .header("Cairn-Timestamp", &now)
            .header(
                "Cairn-Signature",
                sign::signature(&self.key, &message.id, &now, &body),
            );
        let request = match message.trace() {
            Some(trace) => request.header("traceparent", trace.to_string()),
            None => request,
        };
        match request.send(body.as_bytes()) {
            Ok(mut answer) => answer::outcome(&mut answer),
            Err(error) => {
                let reason = format!("{}: {error}", place(url));
                silent.note(url, &reason);
                Outcome::Retry {
                    reason,
                    after: None,
                }
            }
        }
    }
}

impl Transport for Http {
    fn publish(&mut self, messages: &[Message]) -> Vec<Outcome> {
        let silent = Silent::default();
        let next = AtomicUsize::new(0);
        let done: Mutex<Vec<Option<Outcome>>> = Mutex::new(vec![None; messages.len()]);
        std::thread::scope(|scope| {
            let work = || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(message) = messages.get(at) else {
                        break;
                    };
                    let outcome = self.send(message, &silent);
                    done.lock()[at] = Some(outcome);
                }
            };
            let helpers = AT_ONCE.min(messages.len()).saturating_sub(1);
            for _ in 0..helpers {
                // Fewer do it as well.
                let thread = std::thread::Builder::new().name("cairn-http".to_owned());
                if thread.spawn_scoped(scope, work).is_err() {
                    break;
                }
            }
            work();
        });
        let done = done.into_inner().into_iter();
        done.map(|outcome| {
            outcome.unwrap_or_else(|| Outcome::Retry {
                reason: "it was not sent".to_owned(),
                after: None,
            })
        })
        .collect()
    }
}

/// The URLs that did not answer in this page: its other messages to them are not sent now, so that they do not hold up those to others.
#[derive(Default)]
struct Silent(Mutex<HashMap<String, String>>);

impl Silent {
    fn reason(&self, url: &str) -> Option<String> {
        self.0.lock().get(url).cloned()
    }

    fn note(&self, url: &str, reason: &str) {
        self.0.lock().insert(url.to_owned(), reason.to_owned());
    }
}

/// What the receiver is told.
fn body(message: &Message) -> String {
    let document = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
    json!({
        "id": &*message.id,
        "topic": &*message.topic,
        "method": &*message.method,
        "arguments": document(&message.arguments),
        "context": message.sender(),
        "created_at": message.created_at.to_string(),
    })
    .to_string()
}

/// The scheme and the host of a URL, without its path, which may hold a token.
fn place(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..]
        .find(['/', '?'])
        .map_or(url.len(), |at| host + at);
    &url[..end]
}
