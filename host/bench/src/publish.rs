//! Measures what a message costs that leaves by a transport.

use std::time::Instant;

use cairn::deliver::{self, Outcome};
use cairn::outbox::Message;
use cairn::{Diagnostic, HostError, config::DeliverConfig};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::{BenchError, meter};

/// How many messages are published at once, as by a host that is busy.
const TOGETHER: usize = 64;

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
    /// How many were published at once.
    pub together: usize,
    /// Messages per second, each confirmed.
    pub messages_per_s: f64,
    /// CPU time of the whole process, user and system, in microseconds per message.
    pub cpu_us_per_message: f64,
    /// CPU time of making the messages alone, in microseconds per message.
    pub making_us_per_message: f64,
    /// Number of processors that this process may use.
    pub cpus: usize,
    /// The machine's load average over a minute, before the run.
    pub load1: f64,
}

/// Publishes messages like those of the volume-create flow.
///
/// # Errors
/// The transport cannot be opened, or a message was not confirmed.
pub fn run(options: &PublishOptions) -> Result<PublishFigures, BenchError> {
    if options.messages == 0 {
        return Err(Diagnostic::new("there are no messages to publish").into());
    }
    let load1 = meter::load1();
    let mut transport = deliver::open(&options.deliver).map_err(HostError::from)?;
    // Connects, and warms up.
    confirmed(&transport.publish(&messages(options, TOGETHER)))?;
    let mut left = options.messages;
    let (began, before) = (Instant::now(), meter::cpu());
    while left > 0 {
        let many = left.min(TOGETHER);
        confirmed(&transport.publish(&messages(options, many)))?;
        left -= many;
    }
    let (took, cpu) = (began.elapsed(), meter::cpu() - before);
    let before = meter::cpu();
    for _ in 0..options.messages.div_ceil(TOGETHER) {
        std::hint::black_box(messages(options, TOGETHER));
    }
    let making = meter::cpu() - before;
    let each = |micros: f64| micros / options.messages as f64;
    Ok(PublishFigures {
        messages: options.messages,
        together: TOGETHER,
        messages_per_s: options.messages as f64 / took.as_secs_f64(),
        cpu_us_per_message: each(cpu.as_secs_f64() * 1e6),
        making_us_per_message: each(making.as_secs_f64() * 1e6),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        load1,
    })
}

fn confirmed(outcomes: &[Outcome]) -> Result<(), BenchError> {
    for outcome in outcomes {
        let reason = match outcome {
            Outcome::Confirmed => continue,
            Outcome::Unroutable(reason)
            | Outcome::Refused(reason)
            | Outcome::Retry { reason, .. }
            | Outcome::Unreached(reason) => reason,
        };
        return Err(BenchError::Unexpected(format!(
            "a message was not delivered: {reason}"
        )));
    }
    Ok(())
}

/// Makes messages to create a volume, as the flow casts them.
fn messages(options: &PublishOptions, many: usize) -> Vec<Message> {
    let message = |_| {
        let volume = Uuid::now_v7().to_string();
        let arguments = json!({
            "topic": "cinder-volume", "volume_id": volume, "snapshot_id": null, "image_id": null,
            "request_spec": {
                "volume_id": volume, "snapshot_id": null, "image_id": null, "source_volid": null, "volume_type": {},
                "volume_properties": {"size": 1, "status": "creating", "display_name": null, "availability_zone": "nova"},
            },
            "filter_properties": {},
        });
        let context =
            json!({"request_id": format!("req-{}", Uuid::new_v4()), "project_id": "bench"});
        Message {
            id: Uuid::now_v7().to_string().into(),
            topic: options.topic.as_str().into(),
            method: "create_volume".into(),
            arguments: arguments.to_string().into(),
            context: Some(context.to_string().into()),
            ..Message::default()
        }
    };
    (0..many).map(message).collect()
}
