//! Measures the CPU time of a message, from the row that says `sending` to the row that is gone.
//!
//! ```sh
//! cargo run --release -p cairn-deliver --features amqp --example publish-cost -- 50000
//! cargo run --release -p cairn-deliver --features amqp --example publish-cost -- 50000 \
//!     amqp://cairn@127.0.0.1/%2f password-file exchange topic
//! ```
//!
//! Without a broker, messages are confirmed by nobody, so that what is left is the database's part.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_deliver::{Dispatcher, Limits, Outcome, Transport};
use cairn_effects::domain::Domains;
use cairn_effects::outbox::{Cast, Message, Outgoing};
use cairn_manifest::config::{AmqpConfig, Url};
use cairn_model::clock::SystemClock;
use cairn_model::id::{ContextPart, Identity};
use cairn_model::secret::SecretSource;
use cairn_store::{Caller, HostStore, Sqlite, SqliteConfig};
use serde_json::json;

type Failed = Box<dyn std::error::Error>;

/// Confirms everything.
struct Nobody;

impl Transport for Nobody {
    fn publish(&mut self, messages: &[Message]) -> Vec<Outcome> {
        vec![Outcome::Confirmed; messages.len()]
    }
}

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number: u32 = arguments.first().map_or(Ok(20_000), |text| text.parse())?;
    let (transport, topic) = match &arguments[1.min(arguments.len())..] {
        [url, password, exchange, topic] => (amqp(url, password, exchange)?, topic.clone()),
        _ => (Box::new(Nobody) as Box<dyn Transport>, "topic".to_owned()),
    };
    let folder = tempfile::tempdir()?;
    let config = SqliteConfig {
        domains: Domains::default().with(Outgoing {
            context: ContextPart::CINDER.to_vec(),
        }),
        ..SqliteConfig::default()
    };
    let path = folder.path().join("cairn.db");
    let store: Arc<dyn HostStore> = Arc::new(Sqlite::open(&path, config, Arc::new(SystemClock))?);
    let requester = Identity::new("ann", "acme");
    let by = Caller {
        call: None,
        requester: &requester,
    };
    for volume in 0..number {
        let properties = json!({"id": volume, "size": 2, "status": "creating", "display_name": "data", "metadata": {}});
        let cast = Cast {
            topic: topic.clone(),
            method: "create_volume".to_owned(),
            arguments: json!({
                "topic": "cinder-volume", "volume_id": volume, "snapshot_id": null, "image_id": null, "filter_properties": {},
                "request_spec": {"volume_id": volume, "volume_type": {}, "volume_properties": properties},
            }),
        };
        store.apply_dyn(by, &cast)?;
        if volume % 1000 == 999 {
            store.flush();
        }
    }
    store.flush();
    let limits = Limits {
        attempts: 20,
        max_age: Duration::from_secs(3600),
        most: u64::MAX,
    };
    let (begin, cpu) = (Instant::now(), processor()?);
    let dispatcher = Dispatcher::start(&store, transport, limits)?;
    while !dispatcher_is_done(&store)? {
        std::thread::sleep(Duration::from_millis(100));
    }
    let (wall, cpu) = (begin.elapsed(), processor()? - cpu);
    drop(dispatcher);
    println!(
        "{number} messages in {wall:.2?}: {:.0}/s, {:.1} us of CPU each",
        f64::from(number) / wall.as_secs_f64(),
        cpu * 1e6 / f64::from(number)
    );
    Ok(())
}

/// Whether the outbox is empty. Asked so seldom that it costs nothing beside the rest.
fn dispatcher_is_done(store: &Arc<dyn HostStore>) -> Result<bool, Failed> {
    let statement = "SELECT 1 FROM outbox LIMIT 1";
    let nobody = Identity::default();
    Ok(store.read(&nobody, |view| Ok(view.query(statement, &[])?.is_empty()))?)
}

fn amqp(url: &str, password: &str, exchange: &str) -> Result<Box<dyn Transport>, Failed> {
    let config = AmqpConfig {
        url: Url::parse(url)?,
        password: Some(SecretSource::File(Path::new(password).to_owned())),
        exchange: exchange.to_owned(),
        version: "1.2".to_owned(),
        ca: None,
    };
    let amqp = cairn_deliver::amqp::Amqp::open(&config, Duration::from_secs(10))?;
    Ok(Box::new(amqp))
}

/// CPU time of this process, in seconds: user and system, counted in hundredths.
fn processor() -> Result<f64, Failed> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat
        .rsplit(") ")
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    let ticks =
        |at: usize| -> Result<f64, Failed> { Ok(fields.get(at).ok_or("no such field")?.parse()?) };
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}
