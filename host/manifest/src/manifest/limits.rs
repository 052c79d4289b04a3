//! Limits of one call of a plugin, and the notation of sizes and times.

use std::collections::BTreeMap;
use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use cairn_model::error::{Diagnostic, HostErrorKind};
use cairn_model::file::MAX_COMPONENT;

use crate::document::{Item, Table};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// The unit of a limit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Bytes,
    Count,
    /// Nanoseconds.
    Time,
}

/// The value of a limit, as an amount in its unit.
trait Amount {
    fn amount(&self) -> u64;

    fn of(amount: u64) -> Self;
}

impl Amount for u64 {
    fn amount(&self) -> u64 {
        *self
    }

    fn of(amount: u64) -> Self {
        amount
    }
}

impl Amount for Duration {
    fn amount(&self) -> u64 {
        u64::try_from(self.as_nanos()).unwrap_or(u64::MAX)
    }

    fn of(amount: u64) -> Self {
        Self::from_nanos(amount)
    }
}

/// Declares the limits: name, field, type and default; unit, minimum and maximum; and the error kind of a call that exceeds it.
macro_rules! limits {
    ($(
        $(#[$doc:meta])*
        $key:ident $field:ident: $type:ty = $default:expr, $unit:ident $least:expr, $most:expr $(, $error:ident)?;
    )*) => {
        /// Limits of one call of a plugin.
        ///
        /// A plan stored before a limit existed reads back with that limit's default. [`LimitKey`] has the ranges.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Limits {
            $($(#[$doc])* pub $field: $type,)*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self {
                    $($field: $default,)*
                }
            }
        }

        /// The name of a limit.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[expect(missing_docs, reason = "each is the field of `Limits` of the same name")]
        #[non_exhaustive]
        pub enum LimitKey {
            $($key,)*
        }

        impl LimitKey {
            /// Every limit.
            pub const ALL: &[Self] = &[$(Self::$key,)*];

            /// Returns its key in a manifest's `limits`, and in `[limits]` of `cairn.toml`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$key => stringify!($field),)*
                }
            }

            /// Returns the error kind of a call that exceeds the limit. `None` for the log, whose rest is dropped, for the size of
            /// the component, which is checked before anything runs, and for the size and time of an HTTP request, which fails
            /// alone, with an error that the plugin handles.
            pub const fn error_kind(self) -> Option<HostErrorKind> {
                match self {
                    $(Self::$key => limits!(@error $($error)?),)*
                }
            }

            const fn unit(self) -> Unit {
                match self {
                    $(Self::$key => Unit::$unit,)*
                }
            }

            /// Returns the minimum and the maximum.
            const fn range(self) -> (u64, u64) {
                match self {
                    $(Self::$key => ($least, $most),)*
                }
            }
        }

        impl Limits {
            fn get(&self, key: LimitKey) -> u64 {
                match key {
                    $(LimitKey::$key => self.$field.amount(),)*
                }
            }

            fn set(&mut self, key: LimitKey, amount: u64) {
                match key {
                    $(LimitKey::$key => self.$field = Amount::of(amount),)*
                }
            }
        }
    };
    (@error $error:ident) => { Some(HostErrorKind::$error) };
    (@error) => { None };
}

limits! {
    /// Bytes of linear memory, all memories together: from one WebAssembly page to the whole address space.
    Memory memory: u64 = 64 * MIB, Bytes 64 * KIB, 4096 * MIB, MemoryExceeded;
    /// Number of linear memories.
    Memories memories: u64 = 8, Count 1, 64, MemoriesExceeded;
    /// Number of tables.
    Tables tables: u64 = 16, Count 1, 64, TablesExceeded;
    /// Entries of each table: at most the size of a pooled table.
    TableEntries table_entries: u64 = 100_000, Count 1, 100_000, TableEntriesExceeded;
    /// Instances of core modules: a component consists of several.
    Instances instances: u64 = 64, Count 1, 1000, InstancesExceeded;
    /// Time of a call, including the creation of its instance and the host's work for it. The time in which the host waits for its
    /// database does not count.
    #[serde(with = "cairn_model::retry::duration_text")]
    Deadline deadline: Duration = Duration::from_secs(5), Time 1_000_000, 3_600_000_000_000, DeadlineExceeded;
    /// Time of one act of an external: a call of its `make` or `remove`. `deadline` bounds its other calls.
    #[serde(with = "cairn_model::retry::duration_text")]
    Act act: Duration = Duration::from_secs(60), Time 1_000_000, 86_400_000_000_000, ActDeadlineExceeded;
    /// Bytes that the plugin may pass to the host at once: as the arguments of one host function, or as its result.
    BorderBytes border_bytes: u64 = 4 * MIB, Bytes KIB, 128 * MIB, BorderBytesExceeded;
    /// Bytes of the result's JSON text.
    ResultBytes result_bytes: u64 = 4 * MIB, Bytes KIB, 64 * MIB, ResultTooLarge;
    /// Nesting depth of arrays and objects in the result. The maximum is the depth limit of the JSON parser.
    ResultDepth result_depth: u64 = 64, Count 1, 127, ResultTooDeep;
    /// Calls of host functions. Calls of WASI do not count: they access nothing shared, and are bounded by `deadline` and
    /// `resources`.
    HostCalls host_calls: u64 = 10_000, Count 1, 1_000_000_000, HostCallsExceeded;
    /// Bytes of log per call; the rest is dropped, and the log says so.
    LogBytes log_bytes: u64 = 64 * KIB, Bytes 0, 16 * MIB;
    /// Entries of the WASI resource table.
    Resources resources: u64 = 1000, Count 1, 1_000_000, ResourcesExceeded;
    /// HTTP requests.
    HttpRequests http_requests: u64 = 100, Count 1, 10_000, HttpRequestsExceeded;
    /// Bytes of the body of one HTTP request.
    HttpRequestBytes http_request_bytes: u64 = MIB, Bytes 0, 256 * MIB;
    /// Bytes of the body of one HTTP response.
    HttpResponseBytes http_response_bytes: u64 = 4 * MIB, Bytes 0, 256 * MIB;
    /// Time of one HTTP request, from the look-up of the host's name to the last byte of the response.
    #[serde(with = "cairn_model::retry::duration_text")]
    HttpTime http_time: Duration = Duration::from_secs(30), Time 1_000_000, 3_600_000_000_000;
    /// Bytes of the component.
    ComponentBytes component_bytes: u64 = 64 * MIB, Bytes KIB, MAX_COMPONENT;
}

impl LimitKey {
    /// Returns the limit that was exceeded by a call with this error kind.
    pub fn of_error(kind: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|key| key.error_kind().is_some_and(|own| own.as_str() == kind))
    }

    /// Formats an amount with its unit.
    fn show(self, amount: u64) -> String {
        match self.unit() {
            Unit::Bytes => ByteSize(amount).display().iec().to_string(),
            Unit::Count => amount.to_string(),
            Unit::Time => humantime::format_duration(Duration::from_nanos(amount)).to_string(),
        }
    }

    fn read(self, item: &Item<'_>) -> Result<u64, Diagnostic> {
        let (least, most) = self.range();
        match self.unit() {
            Unit::Bytes => size(item, least, most),
            Unit::Time => {
                let time = item.duration(Duration::from_nanos(least))?;
                Ok(u64::try_from(time.as_nanos()).unwrap_or(most))
            }
            Unit::Count => match u64::try_from(item.integer()?) {
                Ok(count) if (least..=most).contains(&count) => Ok(count),
                _ => Err(item.error(format!("must be from {least} to {most}"))),
            },
        }
    }
}

impl std::fmt::Display for LimitKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Limits {
    /// Returns the maximum of every limit, which is the operator's default.
    pub fn most() -> Self {
        let mut limits = Self::default();
        for key in LimitKey::ALL.iter().copied() {
            limits.set(key, key.range().1);
        }
        limits
    }

    /// Reads a table of limits over `self`; also returns the lines of the keys that it contains.
    ///
    /// # Errors
    /// An unknown key, or a value that is out of the limit's range.
    pub fn read(
        mut self,
        table: Table<'_>,
    ) -> Result<(Self, BTreeMap<LimitKey, usize>), Diagnostic> {
        let keys: Vec<&str> = LimitKey::ALL.iter().map(|key| key.as_str()).collect();
        let table = table.only(&keys)?;
        let mut lines = BTreeMap::new();
        for key in LimitKey::ALL.iter().copied() {
            if let Some(item) = table.get(key.as_str()) {
                self.set(key, key.read(&item)?);
                lines.insert(key, item.line());
            }
        }
        Ok((self, lines))
    }

    /// Formats one limit with its unit.
    pub fn show(&self, key: LimitKey) -> String {
        key.show(self.get(key))
    }

    /// Returns the limits that differ from their defaults, formatted with their units.
    pub fn changed(&self) -> impl Iterator<Item = (LimitKey, String)> {
        let defaults = Self::default();
        LimitKey::ALL
            .iter()
            .copied()
            .filter(move |key| self.get(*key) != defaults.get(*key))
            .map(|key| (key, self.show(key)))
    }

    /// Returns whether one limit is above that of `ceiling`.
    pub fn above(&self, ceiling: &Self, key: LimitKey) -> bool {
        self.get(key) > ceiling.get(key)
    }

    /// Lowers all limits to those of `ceiling`; also returns which ones were lowered.
    pub fn at_most(mut self, ceiling: &Self) -> (Self, Vec<LimitKey>) {
        let above = LimitKey::ALL.iter().copied();
        let above: Vec<_> = above.filter(|key| self.above(ceiling, *key)).collect();
        above.iter().for_each(|key| self.take(ceiling, *key));
        (self, above)
    }

    /// Copies one limit from `other`.
    pub fn take(&mut self, other: &Self, key: LimitKey) {
        self.set(key, other.get(key));
    }
}

/// Reads a number of bytes, written with a unit as in "16MiB".
pub(crate) fn size(item: &Item<'_>, min: u64, max: u64) -> Result<u64, Diagnostic> {
    let text = item
        .text()
        .map_err(|error| error.help(r#"write a size with its unit, such as "16MiB""#))?;
    let size = text.trim().parse::<ByteSize>().map_err(|_| {
        item.error(format!("is no size: `{}`", text.escape_debug()))
            .help(r#"write a number and a unit, such as "16MiB""#)
    })?;
    if !(min..=max).contains(&size.as_u64()) {
        return Err(item.error(format!(
            "must be from {} to {}, not {}",
            ByteSize(min).display().iec(),
            ByteSize(max).display().iec(),
            text.escape_debug(),
        )));
    }
    Ok(size.as_u64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_survive_json_to_the_nanosecond() {
        let limits = Limits {
            deadline: Duration::new(61, 1),
            ..Limits::default()
        };
        let text = serde_json::to_string(&limits).unwrap();
        assert_eq!(serde_json::from_str::<Limits>(&text).unwrap(), limits);
    }

    #[test]
    fn a_plan_older_than_a_limit_gets_its_default() {
        let limits: Limits = serde_json::from_str(r#"{"memory": 65536}"#).unwrap();
        assert_eq!(limits.memory, 65536);
        assert_eq!(limits.deadline, Limits::default().deadline);
    }

    #[test]
    fn the_page_on_limits_shows_default_range_ceiling_and_error_of_each_key() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/limits.md");
        let page = std::fs::read_to_string(page).unwrap();
        let rows = page.lines().filter(|line| line.starts_with("| `"));
        let cells = |line: &str| -> Vec<String> {
            let cells = line.split('|').map(str::trim).map(str::to_owned);
            // What a limit bounds is for people.
            let cells = cells.enumerate().filter(|(at, _)| *at != 2);
            cells.map(|(_, cell)| cell).collect()
        };
        let shown: Vec<Vec<String>> = rows.map(cells).collect();
        let expected = LimitKey::ALL.iter().map(|key| {
            let (least, most) = key.range();
            assert_eq!(Limits::most().get(*key), most);
            let error = key
                .error_kind()
                .map_or_else(|| "-".to_owned(), |kind| format!("`{}`", kind.as_str()));
            let default = Limits::default().show(*key);
            let (least, most) = (key.show(least), key.show(most));
            cells(&format!(
                "| `{key}` | | {default} | {least} | {most} | {error} |"
            ))
        });
        assert_eq!(shown, expected.collect::<Vec<_>>());
    }

    #[test]
    fn every_field_has_a_key_and_its_default_is_in_range() {
        let fields = serde_json::to_value(Limits::default()).unwrap();
        let mut fields: Vec<_> = fields.as_object().unwrap().keys().cloned().collect();
        let keys = LimitKey::ALL.iter().map(|key| key.as_str().to_owned());
        let mut keys: Vec<_> = keys.collect();
        fields.sort_unstable();
        keys.sort_unstable();
        assert_eq!(fields, keys);
        for key in LimitKey::ALL.iter().copied() {
            let (least, most) = key.range();
            let default = Limits::default().get(key);
            assert!((least..=most).contains(&default), "{key}");
            let mut limits = Limits::default();
            limits.set(key, most);
            assert_eq!(limits.get(key), most, "{key}");
        }
    }

    #[test]
    fn a_kind_of_error_names_its_limit() {
        assert_eq!(
            LimitKey::of_error("HostCallsExceeded"),
            Some(LimitKey::HostCalls)
        );
        assert_eq!(LimitKey::of_error("Trap"), None);
    }
}
