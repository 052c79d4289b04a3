//! Measures what a message costs that leaves by a transport: from the row that says it is to leave to the row that is gone.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn::clock::SystemClock;
use cairn::config::DeliverConfig;
use cairn::deliver::{self, Dispatcher, Limits, Outcome, Transport};
use cairn::effect::Caller;
use cairn::outbox::{Cast, Message, Outgoing};
use cairn::store::HostStore;
use cairn::{Diagnostic, Domains, HostError, Identity, Sqlite, SqliteConfig};
use serde::Serialize;
use serde_json::json;

use crate::{BenchError, Folder, meter};

/// How many messages one batch writes.
const BATCH: usize = 1_000;

/// Interval between two looks at what is left: so seldom that it costs nothing beside the rest.
const LOOK: Duration = Duration::from_millis(20);

/// How long no message may leave before the run is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// The options of a run.
#[derive(Clone, Debug)]
pub struct PublishOptions {
    /// How messages leave.
    pub deliver: DeliverConfig,
    /// Their topic. Whoever takes its messages gets them.
    pub topic: String,
    /// The number of messages, one or more.
    pub messages: usize,
}

/// The results of one run.
#[derive(Clone, Debug, Serialize)]
pub struct PublishFigures {
    /// Number of measured messages.
    pub messages: usize,
    /// Messages per second, each confirmed.
    pub messages_per_s: f64,
    /// CPU time of the whole process, user and system, in microseconds per message.
    pub cpu_us_per_message: f64,
    /// Messages per second without a transport: the database's part.
    pub nobody_messages_per_s: f64,
    /// CPU time without a transport, in microseconds per message.
    pub nobody_cpu_us_per_message: f64,
    /// Number of processors that this process may use.
    pub cpus: usize,
    /// The machine's load average over a minute, before the run.
    pub load1: f64,
}

/// Delivers messages like those of the volume-create flow, from databases in `folder`.
///
/// # Errors
/// The transport cannot be opened or does not take a message, or a database cannot be used.
pub fn run(options: &PublishOptions, folder: &Folder) -> Result<PublishFigures, BenchError> {
    if options.messages == 0 {
        return Err(HostError::from(Diagnostic::new("there are no messages to deliver")).into());
    }
    let load1 = meter::load1();
    let mut transport = deliver::open(&options.deliver).map_err(HostError::from)?;
    is_taken(&mut *transport, &options.topic)?;
    let at = |name: &str| folder.path().join(name);
    let [(took, cpu), (nobody_took, nobody_cpu)] = [
        delivered(options, transport, &at("messages.db"))?,
        delivered(options, Box::new(Nobody), &at("nobody.db"))?,
    ];
    let many = options.messages as f64;
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / many;
    Ok(PublishFigures {
        messages: options.messages,
        messages_per_s: many / took.as_secs_f64(),
        cpu_us_per_message: each(cpu),
        nobody_messages_per_s: many / nobody_took.as_secs_f64(),
        nobody_cpu_us_per_message: each(nobody_cpu),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        load1,
    })
}

/// Confirms everything.
struct Nobody;

impl Transport for Nobody {
    fn publish(&mut self, messages: &[Message]) -> Vec<Outcome> {
        vec![Outcome::Confirmed; messages.len()]
    }
}

/// Publishes one message, so that a transport that does not work is no measurement.
fn is_taken(transport: &mut dyn Transport, topic: &str) -> Result<(), BenchError> {
    let cast = cast(topic, 0);
    let message = Message {
        id: "first".into(),
        topic: cast.topic.as_str().into(),
        method: cast.method.as_str().into(),
        arguments: cast.arguments.to_string().into(),
        ..Message::default()
    };
    let outcome = transport.publish(&[message]).pop();
    let reason = match outcome {
        Some(Outcome::Confirmed) => return Ok(()),
        Some(
            Outcome::Unroutable(reason)
            | Outcome::Refused(reason)
            | Outcome::Retry { reason, .. }
            | Outcome::Unreached(reason),
        ) => reason,
        None => "the transport did not answer".to_owned(),
    };
    Err(BenchError::Unexpected(format!(
        "the first message was not delivered: {reason}"
    )))
}

/// Delivers the messages, and returns how long that took, and its CPU time.
fn delivered(
    options: &PublishOptions,
    transport: Box<dyn Transport>,
    path: &Path,
) -> Result<(Duration, Duration), BenchError> {
    let config = SqliteConfig {
        domains: Domains::default().with(Outgoing {
            context: options.deliver.identity.clone(),
        }),
        ..SqliteConfig::default()
    };
    let store: Arc<dyn HostStore> = Arc::new(Sqlite::open(path, config, Arc::new(SystemClock))?);
    fill(options, &*store)?;
    let limits = Limits {
        most: u64::MAX,
        ..Limits::of(&options.deliver)
    };
    let (began, before) = (Instant::now(), meter::cpu());
    let dispatcher = Dispatcher::start(&store, transport, limits)?;
    let mut outbox = store
        .outbox()?
        .ok_or_else(|| BenchError::Unexpected("the database has no outbox".to_owned()))?;
    let (mut left, mut since) = (options.messages as u64, Instant::now());
    while left > 0 {
        std::thread::sleep(LOOK);
        let now = outbox.sending()?;
        if now < left {
            (left, since) = (now, Instant::now());
        }
        if since.elapsed() > PATIENCE {
            let message = format!("{left} messages were not delivered within {PATIENCE:?}");
            return Err(BenchError::Unexpected(message));
        }
    }
    let result = (began.elapsed(), meter::cpu() - before);
    drop(dispatcher);
    Ok(result)
}

/// Adds the messages of flows that have succeeded.
fn fill(options: &PublishOptions, store: &dyn HostStore) -> Result<(), BenchError> {
    let requester = Identity::new("ann", "bench");
    let by = Caller {
        call: None,
        requester: &requester,
    };
    for number in 0..options.messages {
        store.apply_dyn(by, &cast(&options.topic, number))?;
        if number % BATCH == BATCH - 1 {
            store.flush();
        }
    }
    store.flush();
    Ok(())
}

/// The message that the volume-create flow casts.
fn cast(topic: &str, number: usize) -> Cast {
    let volume = format!("{number:032x}");
    let properties = json!({
        "size": 1, "status": "creating", "display_name": null, "availability_zone": "nova", "metadata": {},
    });
    Cast {
        topic: topic.to_owned(),
        method: "create_volume".to_owned(),
        arguments: json!({
            "topic": "cinder-volume", "volume_id": volume, "snapshot_id": null, "image_id": null, "filter_properties": {},
            "request_spec": {"volume_id": volume, "volume_type": {}, "volume_properties": properties},
        }),
    }
}
