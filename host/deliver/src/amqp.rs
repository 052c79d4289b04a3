//! Messages through RabbitMQ, in the envelope of oslo.messaging.
//!
//! The exchange is declared passively, messages are published `mandatory`, and the broker confirms each. A message that the broker
//! confirmed is on disk only where the receivers' queues are durable: queues of oslo.messaging are not, unless their operator says so.

mod envelope;
mod link;

use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use cairn_effects::outbox::Message;
use cairn_manifest::config::AmqpConfig;
use cairn_model::error::Diagnostic;
use cairn_model::file;

use crate::transport::{Outcome, Transport};

pub use envelope::body;
use link::Link;

/// How much longer than an attempt its answer is waited for.
const SLACK: Duration = Duration::from_secs(2);

/// Publishes to one exchange of a broker, from a thread with a runtime of its own.
pub struct Amqp {
    jobs: UnboundedSender<Job>,
    version: String,
    timeout: Duration,
}

/// Messages that are to be published. One job at a time is under way.
struct Job {
    messages: Vec<Prepared>,
    answer: SyncSender<Vec<Outcome>>,
}

/// A message in its envelope.
struct Prepared {
    id: String,
    topic: String,
    body: Vec<u8>,
    /// The header `traceparent`.
    trace: Option<String>,
}

impl Amqp {
    /// Makes a transport with these settings, whose publishing takes no longer than `timeout` a page. It connects when something is
    /// to be published.
    ///
    /// # Errors
    /// The password or the file of authorities cannot be read, or no thread can be started.
    pub fn open(config: &AmqpConfig, timeout: Duration) -> Result<Self, Diagnostic> {
        if let Some(source) = &config.password {
            // It is read again for each connection: it may have been changed by then.
            source.read().map_err(|error| {
                Diagnostic::new(format!("the password of the broker is not there: {error}"))
                    .help("see password_file, password_variable and password_command in [deliver]")
            })?;
        }
        let authorities = match &config.ca {
            Some(path) => Some(file::text(path, file::MAX_TEXT).map_err(|error| {
                Diagnostic::new(format!("the authorities cannot be read: {error}"))
                    .at(path, None)
                    .help("name a file of certificates in PEM with `ca` in [deliver]")
            })?),
            None => None,
        };
        let failed = |error: std::io::Error| {
            Diagnostic::new(format!("the broker's thread cannot be started: {error}"))
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let (jobs, mut asked) = tokio::sync::mpsc::unbounded_channel::<Job>();
        let mut link = Link::new(config.clone(), authorities, timeout);
        std::thread::Builder::new()
            .name("cairn-amqp".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    while let Some(job) = asked.recv().await {
                        let outcomes = link.publish(&job.messages).await;
                        // The dispatcher may have ended.
                        let _ = job.answer.send(outcomes);
                    }
                    link.close().await;
                });
            })
            .map_err(failed)?;
        Ok(Self {
            jobs,
            version: config.version.clone(),
            timeout,
        })
    }
}

impl Transport for Amqp {
    fn publish(&mut self, messages: &[Message]) -> Vec<Outcome> {
        let unreached = |reason: &str| vec![Outcome::Unreached(reason.to_owned()); messages.len()];
        let prepared = messages.iter().map(|message| Prepared {
            id: message.id.to_string(),
            topic: message.topic.to_string(),
            body: body(message, &self.version),
            trace: message.trace().map(|trace| trace.to_string()),
        });
        let (answer, answered) = sync_channel(1);
        let job = Job {
            messages: prepared.collect(),
            answer,
        };
        if self.jobs.send(job).is_err() {
            return unreached("the broker's thread has ended");
        }
        let outcomes = answered.recv_timeout(self.timeout + SLACK);
        outcomes.unwrap_or_else(|_| unreached("the broker's thread did not answer in time"))
    }
}
