//! `[traces]`: where traces are sent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cairn_model::error::Diagnostic;
use cairn_model::secret::SecretSource;
use cairn_model::trace::Sample;

use super::secret;
use super::url::Url;
use crate::document::{Item, Table};

/// Where traces are sent: an OpenTelemetry collector, or what takes OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracesConfig {
    /// Where the collector listens. The path `/v1/traces` is added unless the URL ends with it.
    pub endpoint: Url,
    /// Which of the traces that begin here are recorded. Of one that a client began, the client decides.
    pub sample: Sample,
    /// Headers of each request, such as `authorization`, and where their values come from.
    pub headers: BTreeMap<String, SecretSource>,
    /// A file of authorities, in PEM, in place of the usual ones.
    pub ca: Option<PathBuf>,
}

const KEYS: &[&str] = &["endpoint", "sample", "headers", "ca"];

/// Reads `[traces]`.
pub(super) fn read(table: Table<'_>, folder: &Path) -> Result<TracesConfig, Diagnostic> {
    let table = table.only(KEYS)?;
    let Some(item) = table.get("endpoint") else {
        return Err(table.error("[traces] names no endpoint").help(
            "write endpoint = \"http://127.0.0.1:4318\", where a collector takes OTLP over HTTP",
        ));
    };
    let endpoint = Url::read(&item, "headers")?;
    endpoint.require_tls(&item)?;
    if endpoint.user.is_some() {
        return Err(item
            .error("names a user")
            .help("send a header instead: see `headers`"));
    }
    if endpoint.path.contains('?') {
        return Err(item
            .error("has a query")
            .help("write where the collector listens, and send a header instead: see `headers`"));
    }
    Ok(TracesConfig {
        endpoint,
        sample: match table.get("sample") {
            Some(item) => sample(&item)?,
            None => Sample::ALL,
        },
        headers: match table.get("headers") {
            Some(item) => secret::read_all(&item, folder)?,
            None => BTreeMap::new(),
        },
        ca: table.text("ca")?.map(|path| folder.join(path)),
    })
}

fn sample(item: &Item<'_>) -> Result<Sample, Diagnostic> {
    Sample::of(item.number()?).ok_or_else(|| {
        let error = item.error("is no share");
        error.help("write a number from 0, for none, to 1, for all traces")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(text: &str) -> Result<Option<TracesConfig>, String> {
        let kinds = crate::testing::kinds();
        let config = Config::parse(text, Path::new("etc/cairn.toml"), &kinds, &[]);
        config
            .map(|config| config.traces)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_is_read() {
        let text = "[traces]\nendpoint = 'https://otel.example:4318'\nsample = 0.25\nca = 'ca.pem'\n\
                    [traces.headers]\nauthorization = { file = 'token' }";
        let expected = TracesConfig {
            endpoint: Url::parse("https://otel.example:4318").unwrap(),
            sample: Sample::of(0.25).unwrap(),
            headers: BTreeMap::from([(
                "authorization".to_owned(),
                SecretSource::File("etc/token".into()),
            )]),
            ca: Some("etc/ca.pem".into()),
        };
        assert_eq!(parse(text), Ok(Some(expected)));
        assert_eq!(parse(""), Ok(None));
    }

    #[test]
    fn an_endpoint_is_enough_and_a_share_may_be_whole() {
        let at = |rest: &str| {
            let text = format!("[traces]\nendpoint = 'http://127.0.0.1:4318/v1/traces'\n{rest}");
            parse(&text).unwrap().unwrap().sample
        };
        assert_eq!(at(""), Sample::ALL);
        assert_eq!(at("sample = 1"), Sample::ALL);
        assert_eq!(Some(at("sample = 0")), Sample::of(0.0));
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let with = |rest: &str| format!("[traces]\nendpoint = 'http://localhost:4318'\n{rest}");
        for (text, expected) in [
            (
                "[traces]\nsample = 1".to_owned(),
                "[traces] names no endpoint",
            ),
            (
                "[traces]\nendpoint = 'otel:4317'".to_owned(),
                "`traces.endpoint` is no URL",
            ),
            (
                "[traces]\nendpoint = 'http://otel.example:4318'".to_owned(),
                "`traces.endpoint` is not encrypted",
            ),
            (
                "[traces]\nendpoint = 'grpc://localhost:4317'".to_owned(),
                "`traces.endpoint` begins with `grpc://`",
            ),
            (
                "[traces]\nendpoint = 'https://me@otel.example'".to_owned(),
                "`traces.endpoint` names a user",
            ),
            (
                "[traces]\nendpoint = 'https://otel.example/?key=1'".to_owned(),
                "`traces.endpoint` has a query",
            ),
            (with("sample = 1.5"), "`traces.sample` is no share"),
            (with("sample = -0.1"), "`traces.sample` is no share"),
            (with("sample = nan"), "`traces.sample` is no share"),
            (with("sample = 'all'"), "`traces.sample` must be a number"),
            (
                with("headers.a = 'b'"),
                "`traces.headers.a` names no source",
            ),
            (with("protocol = 'grpc'"), "unknown key `protocol`"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
