//! Waits: steps of a flow that end at a time, or when a signal comes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use cairn_model::clock::Timestamp;
use cairn_model::error::Diagnostic;
use cairn_model::retry::duration_text;
use cairn_model::text::{PLAIN_NAME, is_plain_name};
use cairn_model::value::Value;

use crate::document::Item;

/// The longest time that a wait may take: ten years.
pub const LONGEST: Duration = Duration::from_secs(3_653 * 24 * 3_600);

/// Maximum number of names that a payload must hold.
const MAX_NAMES: usize = 256;

/// A wait, `[[task]] wait = { … }`. The flow needs no process meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// When it is over. Its result is then an empty object, unless the signal came before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Until>,
    /// The signal that ends it. Its result is then the signal's payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// How long it waits for the signal; then it fails with `Timeout`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "timeout_text"
    )]
    pub timeout: Option<Duration>,
    /// Names that the signal's payload must have, for the inputs of later tasks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub provides: Vec<String>,
}

/// The end of a wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// A point in time.
    At(Timestamp),
    /// This long after it began.
    After(#[serde(with = "duration_text")] Duration),
    /// A point in time, or a duration, that an earlier task provides under this name.
    Input(String),
}

/// Reads and writes a time that may be absent.
mod timeout_text {
    use std::time::Duration;

    use cairn_model::retry::duration_text;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde passes the field by reference")]
    pub(super) fn serialize<S: Serializer>(
        timeout: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match timeout {
            Some(timeout) => duration_text::serialize(timeout, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        #[derive(Deserialize)]
        struct Text(#[serde(with = "duration_text")] Duration);
        Ok(Option::<Text>::deserialize(deserializer)?.map(|Text(timeout)| timeout))
    }
}

impl Wait {
    /// Returns the input that it needs of an earlier task.
    pub fn requires(&self) -> Option<&String> {
        match &self.until {
            Some(Until::Input(name)) => Some(name),
            _ => None,
        }
    }

    /// Returns when a wait that begins at `now` is over at the latest; `None` if only the signal ends it. `input` is the value of
    /// [`requires`](Self::requires).
    ///
    /// # Errors
    /// The problem with the input.
    pub fn end(&self, now: Timestamp, input: Option<&Value>) -> Result<Option<Timestamp>, String> {
        let end = match &self.until {
            Some(Until::At(at)) => At::Time(*at),
            Some(Until::After(time)) => At::Later(*time),
            Some(Until::Input(name)) => {
                let value = input.unwrap_or(&Value::Null);
                value.as_str().and_then(given).ok_or_else(|| {
                    format!(
                        "`{name}` is {value}; a wait needs a time in RFC 3339, such as \"2026-03-01T12:00:00Z\", or a duration, such as \"2h\""
                    )
                })?
            }
            None => match self.timeout {
                Some(timeout) => At::Later(timeout),
                None => return Ok(None),
            },
        };
        Ok(Some(match end {
            At::Time(at) => at,
            At::Later(time) => now.after(time),
        }))
    }
}

/// A time as a text gives it.
enum At {
    Time(Timestamp),
    Later(Duration),
}

/// Parses a point in time, or a duration up to [`LONGEST`].
fn given(text: &str) -> Option<At> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return at.check().is_ok().then_some(At::Time(at));
    }
    let time = humantime::parse_duration(text).ok()?;
    (time <= LONGEST).then_some(At::Later(time))
}

/// Reads the value of the key `wait`.
pub(super) fn read(item: &Item<'_>) -> Result<Wait, Diagnostic> {
    let table = item
        .table()?
        .only(&["until", "signal", "timeout", "provides"])?;
    let mut wait = Wait::default();
    if let Some(item) = table.get("until") {
        wait.until = Some(until(&item)?);
    }
    if let Some(item) = table.get("signal") {
        let name = item.text()?;
        if !is_plain_name(name) {
            let problem = format!("is `{}`, which is no name of a signal", name.escape_debug());
            return Err(item.error(problem).help(PLAIN_NAME));
        }
        wait.signal = Some(name.to_owned());
    }
    if let Some(item) = table.get("timeout") {
        if wait.until.is_some() || wait.signal.is_none() {
            return Err(item
                .error("is for a wait that only a signal ends")
                .help("write `signal` beside it, and no `until`, whose end is no failure"));
        }
        wait.timeout = Some(item.duration_within(Duration::from_millis(1), LONGEST)?);
    }
    if let Some(item) = table.get("provides") {
        if wait.signal.is_none() {
            return Err(item
                .error("names what a signal brings, and the wait has none")
                .help("add `signal = \"…\"`, or remove it"));
        }
        wait.provides = provides(&item)?;
    }
    if wait.until.is_none() && wait.signal.is_none() {
        return Err(item
            .error("has no end")
            .help(r#"write `until = "2h"`, or `signal = "approved"`"#));
    }
    Ok(wait)
}

fn until(item: &Item<'_>) -> Result<Until, Diagnostic> {
    let text = item.text()?;
    match given(text) {
        Some(At::Time(at)) => Ok(Until::At(at)),
        Some(At::Later(time)) => Ok(Until::After(time)),
        None if is_input(text) => Ok(Until::Input(text.to_owned())),
        None => Err(item
            .error(format!("is `{}`, which is no time", text.escape_debug()))
            .help(
                "write a time such as \"2026-03-01T12:00:00Z\", a duration up to ten years such as \"2h\", or the name of an input",
            )),
    }
}

/// Returns whether a text may be the name of an input. One that begins with a digit is a wrong time.
fn is_input(text: &str) -> bool {
    is_plain_name(text) && !text.starts_with(|c: char| c.is_ascii_digit())
}

fn provides(item: &Item<'_>) -> Result<Vec<String>, Diagnostic> {
    let mut names = BTreeMap::new();
    for name in item.array()? {
        let text = name.text()?;
        if !is_plain_name(text) {
            let problem = format!("holds `{}`, which is no name", text.escape_debug());
            return Err(name.error(problem).help(PLAIN_NAME));
        }
        if names.insert(text.to_owned(), ()).is_some() {
            return Err(name.error(format!("names `{text}` twice")));
        }
        if names.len() > MAX_NAMES {
            return Err(item.error(format!("has more than {MAX_NAMES} names")));
        }
    }
    Ok(names.into_keys().collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::manifest::{Manifest, Work};
    use crate::testing::kinds;

    fn parse(task: &str) -> Result<Manifest, Diagnostic> {
        let text = format!("[flow]\nname = \"f\"\n[[task]]\n{task}\n");
        Manifest::parse(&text, Path::new("flow.toml"), &kinds())
    }

    fn wait(task: &str) -> Wait {
        let manifest = parse(task).unwrap_or_else(|error| panic!("{task}: {error}"));
        match &manifest.tasks[0].work {
            Work::Wait(wait) => wait.clone(),
            Work::Plugin(key) => panic!("{key}"),
        }
    }

    #[test]
    fn a_wait_ends_at_a_time_after_one_or_by_a_signal() {
        let now = Timestamp(1_000_000);
        let end = |task: &str| wait(task).end(now, None).unwrap();
        assert_eq!(end("wait = { until = \"2s\" }"), Some(Timestamp(3_000_000)));
        let at = "1970-01-01T00:00:05Z";
        assert_eq!(
            end(&format!("wait = {{ until = \"{at}\" }}")),
            Some(Timestamp(5_000_000))
        );
        let signal = "wait = { signal = \"go\"";
        assert_eq!(end(&format!("{signal} }}")), None);
        assert_eq!(
            end(&format!("{signal}, timeout = \"1s\" }}")),
            Some(Timestamp(2_000_000))
        );
        let input = wait("wait = { until = \"when\" }");
        assert_eq!(input.requires().map(String::as_str), Some("when"));
        assert_eq!(
            input.end(now, Some(&json!("2s"))),
            Ok(Some(Timestamp(3_000_000)))
        );
        for wrong in [json!("soon"), json!(7), json!(null), json!("20y")] {
            let problem = input.end(now, Some(&wrong)).unwrap_err();
            assert!(problem.contains("`when` is "), "{problem}");
        }
    }

    #[test]
    fn a_wait_without_an_end_or_with_a_wrong_key_is_refused() {
        for (task, expected) in [
            ("wait = {}", "has no end"),
            ("wait = { signal = \"a b\" }", "no name of a signal"),
            ("wait = { until = \"7dd\" }", "is no time"),
            ("wait = { until = \"11y\" }", "is no time"),
            ("wait = { until = \"2026-02-30T00:00:00Z\" }", "is no time"),
            (
                "wait = { until = \"1h\", timeout = \"1h\" }",
                "only a signal ends",
            ),
            ("wait = { timeout = \"1h\" }", "only a signal ends"),
            (
                "wait = { until = \"1h\", provides = [\"a\"] }",
                "the wait has none",
            ),
            (
                "wait = { signal = \"go\", provides = [\"a\", \"a\"] }",
                "names `a` twice",
            ),
            (
                "wait = { signal = \"go\", timeout = \"0s\" }",
                "must be from 1ms",
            ),
            ("wait = { signal = \"go\" }\nplugin = \"a\"", "plugin"),
            ("wait = { signal = \"go\" }\nretry = {}", "retry"),
            ("wait = \"1h\"", "must be a table"),
            (
                "wait = { signal = \"go\" }\n[[task]]\nname = \"b\"\nwait = { signal = \"go\" }",
                "a second wait for the signal `go`; the first is on line 3",
            ),
        ] {
            let error = parse(task).expect_err(task).to_string();
            assert!(error.contains(expected), "{task}: {error}");
        }
    }
}
