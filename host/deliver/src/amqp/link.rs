//! One connection to the broker, made again by hand after it broke.

use std::time::Duration;

use futures_util::future::join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::tcp::OwnedTLSConfig;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ErrorKind,
    ExchangeKind,
};
use tokio::time::{Instant, timeout, timeout_at};

use cairn_manifest::config::{AmqpConfig, Url};
use cairn_model::secret::Secret;

use super::Prepared;
use crate::transport::Outcome;

/// The most bytes of a routing key.
const LONGEST_TOPIC: usize = 255;

/// Seconds between two signs of life.
const HEARTBEAT: u16 = 30;

/// How long a connection may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

pub(super) struct Link {
    config: AmqpConfig,
    /// Certificates in PEM, in place of the usual ones.
    authorities: Option<String>,
    timeout: Duration,
    live: Option<Live>,
    /// It was said that messages may be lost.
    warned: bool,
}

/// A connection that works as far as is known.
struct Live {
    connection: Connection,
    channel: Channel,
}

impl Link {
    pub(super) fn new(config: AmqpConfig, authorities: Option<String>, timeout: Duration) -> Self {
        Self {
            config,
            authorities,
            timeout,
            live: None,
            warned: false,
        }
    }

    /// Publishes messages, and waits for the broker's confirms. A message whose confirm did not come is published again.
    pub(super) async fn publish(&mut self, messages: &[Prepared]) -> Vec<Outcome> {
        let until = Instant::now() + self.timeout;
        let silent = format!("{} did not answer within {:?}", self.place(), self.timeout);
        let connected = timeout_at(until, self.connected()).await;
        if let Err(reason) = connected.unwrap_or_else(|_| Err(silent.clone())) {
            return vec![Outcome::Unreached(reason); messages.len()];
        }
        if self.is_blocked() {
            return vec![Outcome::Unreached(self.blocked()); messages.len()];
        }
        let this = &*self;
        // All at once: one after the other, each message would be written by itself, and wake the connection's thread and this one.
        let publishing = messages.iter().map(|message| async move {
            match this.send(message, until).await {
                Ok(confirm) => timeout_at(until, confirm).await.map_or(Err(None), |done| {
                    done.map_err(|error| Some(error.to_string()))
                }),
                Err(done) => Ok(done),
            }
        });
        let settled = join_all(publishing).await;
        let is_blocked = self.is_blocked();
        let outcomes: Vec<Outcome> = settled
            .into_iter()
            .map(|settled| match settled {
                Ok(outcome) => outcome,
                Err(_) if is_blocked => Outcome::Unreached(self.blocked()),
                Err(Some(error)) => Outcome::Unreached(self.broke(&error)),
                Err(None) => Outcome::Unreached(silent.clone()),
            })
            .collect();
        let is_broken = outcomes
            .iter()
            .any(|outcome| matches!(outcome, Outcome::Unreached(_)));
        if is_broken && !is_blocked {
            self.close().await;
        }
        outcomes
    }

    fn is_blocked(&self) -> bool {
        let live = self.live.as_ref();
        live.is_some_and(|live| live.connection.status().blocked())
    }

    fn blocked(&self) -> String {
        format!(
            "{} takes no messages now: it is short of memory or disk",
            self.place()
        )
    }

    fn broke(&self, error: &str) -> String {
        format!("the connection to {} broke: {error}", self.place())
    }

    /// Sends one message. `Err` is what became of one that cannot be sent.
    async fn send(
        &self,
        message: &Prepared,
        until: Instant,
    ) -> Result<impl Future<Output = lapin::Result<Outcome>> + use<>, Outcome> {
        let Some(live) = &self.live else {
            return Err(Outcome::Unreached(self.broke("it is closed")));
        };
        let (topic, exchange) = (message.topic.clone(), self.config.exchange.clone());
        if topic.len() > LONGEST_TOPIC {
            return Err(Outcome::Refused(format!(
                "the topic has more than {LONGEST_TOPIC} bytes"
            )));
        }
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_content_encoding("utf-8".into())
            .with_delivery_mode(2)
            .with_priority(0)
            .with_message_id(short(&message.id));
        let properties = match &message.trace {
            Some(trace) => {
                let mut headers = FieldTable::default();
                headers.insert(
                    "traceparent".into(),
                    AMQPValue::LongString(trace.as_str().into()),
                );
                properties.with_headers(headers)
            }
            None => properties,
        };
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let sent = live.channel.basic_publish(
            short(&exchange),
            short(&topic),
            options,
            &message.body,
            properties,
        );
        let confirm = match timeout_at(until, sent).await {
            Ok(Ok(confirm)) => confirm,
            Ok(Err(error)) => return Err(Outcome::Unreached(self.broke(&error.to_string()))),
            Err(_) => {
                return Err(Outcome::Unreached(format!(
                    "{} did not take the message within {:?}",
                    self.place(),
                    self.timeout
                )));
            }
        };
        Ok(async move {
            Ok(match confirm.await? {
                Confirmation::Ack(None) => Outcome::Confirmed,
                // Acknowledged, and returned: no queue has it.
                Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => Outcome::Unroutable(
                    format!("no queue takes topic `{topic}` of exchange `{exchange}`"),
                ),
                Confirmation::Nack(None) => Outcome::Retry {
                    reason: "the broker could not store the message".to_owned(),
                    after: None,
                },
                Confirmation::NotRequested => {
                    Outcome::Unreached("the broker sends no confirms".to_owned())
                }
            })
        })
    }

    /// Connects, if there is no connection that works.
    async fn connected(&mut self) -> Result<(), String> {
        let works = self.live.as_ref().is_some_and(|live| {
            live.connection.status().connected() && live.channel.status().connected()
        });
        if !works {
            self.close().await;
            let connection = self.connect().await?;
            let channel = self.channel(&connection).await?;
            self.warn_of_loss(&connection).await;
            self.live = Some(Live {
                connection,
                channel,
            });
        }
        Ok(())
    }

    async fn connect(&self) -> Result<Connection, String> {
        let url = &self.config.url;
        let is_tls = url.scheme == "amqps";
        let user = decoded(url.user.as_deref().unwrap_or("guest"));
        let password = match &self.config.password {
            Some(source) => source.read().map_err(|error| error.to_string())?,
            None => Secret::new("guest"),
        };
        let vhost = vhost(url);
        let milliseconds = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        let uri = AMQPUri {
            scheme: if is_tls {
                AMQPScheme::AMQPS
            } else {
                AMQPScheme::AMQP
            },
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    username: user.clone(),
                    password: password.expose().to_owned(),
                },
                host: url.host.trim_matches(['[', ']']).to_owned(),
                port: port(url),
            },
            vhost: vhost.clone(),
            query: AMQPQueryString {
                heartbeat: Some(HEARTBEAT),
                connection_timeout: Some(milliseconds),
                ..AMQPQueryString::default()
            },
        };
        let properties = ConnectionProperties::default().with_connection_name("cairn".into());
        let tls = OwnedTLSConfig {
            identity: None,
            cert_chain: self.authorities.clone(),
        };
        let runtime = lapin::runtime::default_runtime();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let connected = Connection::connect_uri_with_config(uri, properties, tls, runtime).await;
        connected.map_err(|error| match said(&error) {
            // What the broker says names the virtual host or the user.
            Some(said) => format!(
                "{} refuses user `{user}` in virtual host `{vhost}`: {said}",
                self.place()
            ),
            None => format!("{} cannot be reached: {error}", self.place()),
        })
    }

    /// A channel with confirms, once the exchange is known to be there. It is not declared: whether it is durable is the receivers'
    /// choice, and another declaration is an error.
    async fn channel(&self, connection: &Connection) -> Result<Channel, String> {
        let failed = |error: lapin::Error| self.broke(&error.to_string());
        let channel = connection.create_channel().await.map_err(failed)?;
        let options = ExchangeDeclareOptions {
            passive: true,
            ..ExchangeDeclareOptions::default()
        };
        let exchange = &self.config.exchange;
        let declared = channel.exchange_declare(
            short(exchange),
            ExchangeKind::Topic,
            options,
            FieldTable::default(),
        );
        declared.await.map_err(|error| match said(&error) {
            Some(said) => format!(
                "exchange `{exchange}` cannot be used: {said}; receivers make it when they start, named after their `control_exchange`"
            ),
            None => self.broke(&error.to_string()),
        })?;
        let confirms = channel.confirm_select(ConfirmSelectOptions::default());
        confirms.await.map_err(failed)?;
        Ok(channel)
    }

    /// Says once if messages do not survive the broker. No question tells whether queues are durable; an exchange that is not has queues
    /// that are not, unless somebody made them apart. On a channel of its own, which an exchange that is not durable closes.
    async fn warn_of_loss(&mut self, connection: &Connection) {
        if std::mem::replace(&mut self.warned, true) {
            return;
        }
        let Ok(channel) = connection.create_channel().await else {
            return;
        };
        // It is there: it was asked for a moment ago.
        let options = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let exchange = &self.config.exchange;
        let declared = channel
            .exchange_declare(
                short(exchange),
                ExchangeKind::Topic,
                options,
                FieldTable::default(),
            )
            .await;
        match declared {
            Ok(()) => drop(channel.close(200, "done".into()).await),
            Err(error) if said(&error).is_some_and(|said| said.contains("PRECONDITION")) => {
                tracing::warn!(
                    exchange,
                    "the exchange is not durable, and so its queues hardly are: a broker that restarts loses messages that it has confirmed; \
                     set amqp_durable_queues or rabbit_quorum_queue of the receivers"
                );
            }
            // Not allowed to ask: it is not known.
            Err(_) => {}
        }
    }

    /// Says goodbye, if there is a connection.
    pub(super) async fn close(&mut self) {
        if let Some(live) = self.live.take() {
            // One that broke cannot be told.
            let _ = timeout(GOODBYE, live.connection.close(200, "done".into())).await;
        }
    }

    /// The broker, as errors name it.
    fn place(&self) -> String {
        format!("broker {}:{}", self.config.url.host, port(&self.config.url))
    }
}

fn port(url: &Url) -> u16 {
    let usual = if url.scheme == "amqps" { 5671 } else { 5672 };
    url.port.unwrap_or(usual)
}

/// The virtual host of a URL: `/` where none is named.
fn vhost(url: &Url) -> String {
    match url.path.strip_prefix('/') {
        None | Some("") => "/".to_owned(),
        Some(vhost) => decoded(vhost),
    }
}

/// A text without `%XX`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = tail.get(..2).filter(|_| *first == b'%');
        let escaped = escaped.and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A text that is short enough already.
fn short(text: &str) -> ShortString {
    ShortString::try_new(text.to_owned()).unwrap_or_default()
}

/// What the broker itself said, if this is an answer of its.
fn said(error: &lapin::Error) -> Option<String> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_message().to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_virtual_host_is_the_one_of_the_url() {
        for (url, expected) in [
            ("amqp://h", "/"),
            ("amqp://h/", "/"),
            ("amqp://h/%2f", "/"),
            ("amqp://h/cinder", "cinder"),
            ("amqp://h/a%20b%", "a b%"),
            ("amqp://h/%zz", "%zz"),
        ] {
            assert_eq!(vhost(&Url::parse(url).unwrap()), expected, "{url}");
        }
        assert_eq!(port(&Url::parse("amqps://h").unwrap()), 5671);
        assert_eq!(port(&Url::parse("amqp://h:7").unwrap()), 7);
    }
}
