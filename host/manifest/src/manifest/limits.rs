//! What one call of a plugin may use up, and sizes and times as a person writes them.

use std::collections::BTreeMap;
use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use cairn_model::error::{Diagnostic, HostErrorKind};

use crate::document::{Item, Table};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// What one call of a plugin may use up.
///
/// A plan that was stored before a limit existed reads back with that limit's default. [`LimitKey`] has the ranges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes of linear memory, all memories together.
    pub memory: u64,
    /// Linear memories.
    pub memories: u64,
    /// Tables.
    pub tables: u64,
    /// Entries of each table.
    pub table_entries: u64,
    /// Instances of core modules: a component is made of several.
    pub instances: u64,
    /// How long a call may take, from before its instance is made, with all that the host does for it. A wait for the
    /// database is not cut short, but nothing follows it when it took too long.
    #[serde(with = "cairn_model::retry::duration_text")]
    pub deadline: Duration,
    /// Bytes that the plugin may hand to the host at once: as the arguments of one host function, or as its result.
    pub border_bytes: u64,
    /// Bytes of a result's JSON text.
    pub result_bytes: u64,
    /// How deep arrays and objects of a result may nest.
    pub result_depth: u64,
    /// Calls of host functions. Those of WASI do not count: they reach nothing that is shared, and `deadline` and
    /// `resources` bound them.
    pub host_calls: u64,
    /// Bytes of log that one call may write; the rest is dropped, and the log says so.
    pub log_bytes: u64,
    /// Entries of the table of WASI's resources.
    pub resources: u64,
    /// Bytes of the component itself.
    pub component_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 * MIB,
            memories: 8,
            tables: 16,
            table_entries: 100_000,
            instances: 64,
            deadline: Duration::from_secs(5),
            border_bytes: 4 * MIB,
            result_bytes: 4 * MIB,
            result_depth: 64,
            host_calls: 10_000,
            log_bytes: 64 * KIB,
            resources: 1000,
            component_bytes: 64 * MIB,
        }
    }
}

/// One limit by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "each is the field of `Limits` of the same name"
)]
pub enum LimitKey {
    Memory,
    Memories,
    Tables,
    TableEntries,
    Instances,
    Deadline,
    BorderBytes,
    ResultBytes,
    ResultDepth,
    HostCalls,
    LogBytes,
    Resources,
    ComponentBytes,
}

/// What the amount of a limit counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Bytes,
    Count,
    /// Nanoseconds.
    Time,
}

impl LimitKey {
    /// Every limit.
    pub const ALL: [Self; 13] = [
        Self::Memory,
        Self::Memories,
        Self::Tables,
        Self::TableEntries,
        Self::Instances,
        Self::Deadline,
        Self::BorderBytes,
        Self::ResultBytes,
        Self::ResultDepth,
        Self::HostCalls,
        Self::LogBytes,
        Self::Resources,
        Self::ComponentBytes,
    ];

    /// Its key in a manifest's `limits`, and in `[limits]` of `cairn.toml`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Memories => "memories",
            Self::Tables => "tables",
            Self::TableEntries => "table_entries",
            Self::Instances => "instances",
            Self::Deadline => "deadline",
            Self::BorderBytes => "border_bytes",
            Self::ResultBytes => "result_bytes",
            Self::ResultDepth => "result_depth",
            Self::HostCalls => "host_calls",
            Self::LogBytes => "log_bytes",
            Self::Resources => "resources",
            Self::ComponentBytes => "component_bytes",
        }
    }

    /// The kind of error with which a call ends that goes over. `None` for the log, whose rest is dropped, and for the size
    /// of the component, which is looked at when nothing runs yet.
    pub const fn error_kind(self) -> Option<HostErrorKind> {
        Some(match self {
            Self::Memory => HostErrorKind::MemoryExceeded,
            Self::Memories => HostErrorKind::MemoriesExceeded,
            Self::Tables => HostErrorKind::TablesExceeded,
            Self::TableEntries => HostErrorKind::TableEntriesExceeded,
            Self::Instances => HostErrorKind::InstancesExceeded,
            Self::Deadline => HostErrorKind::DeadlineExceeded,
            Self::BorderBytes => HostErrorKind::BorderBytesExceeded,
            Self::ResultBytes => HostErrorKind::ResultTooLarge,
            Self::ResultDepth => HostErrorKind::ResultTooDeep,
            Self::HostCalls => HostErrorKind::HostCallsExceeded,
            Self::Resources => HostErrorKind::ResourcesExceeded,
            Self::LogBytes | Self::ComponentBytes => return None,
        })
    }

    /// The limit that a call went over which ended with this kind of error.
    pub fn of_error(kind: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|key| key.error_kind().is_some_and(|own| own.as_str() == kind))
    }

    const fn unit(self) -> Unit {
        match self {
            Self::Memory
            | Self::BorderBytes
            | Self::ResultBytes
            | Self::LogBytes
            | Self::ComponentBytes => Unit::Bytes,
            Self::Deadline => Unit::Time,
            Self::Memories
            | Self::Tables
            | Self::TableEntries
            | Self::Instances
            | Self::ResultDepth
            | Self::HostCalls
            | Self::Resources => Unit::Count,
        }
    }

    /// The least and the most that may be asked for.
    const fn range(self) -> (u64, u64) {
        match self {
            // One page of WebAssembly, to all that it can address.
            Self::Memory => (64 * KIB, 4096 * MIB),
            Self::Memories | Self::Tables => (1, 64),
            // What a pooled table has room for.
            Self::TableEntries => (1, 100_000),
            Self::Instances => (1, 1000),
            Self::Deadline => (1_000_000, 3_600_000_000_000),
            Self::BorderBytes => (KIB, 128 * MIB),
            Self::ResultBytes => (KIB, 64 * MIB),
            // JSON is read no deeper.
            Self::ResultDepth => (1, 127),
            Self::HostCalls => (1, 1_000_000_000),
            Self::LogBytes => (0, 16 * MIB),
            Self::Resources => (1, 1_000_000),
            Self::ComponentBytes => (KIB, 256 * MIB),
        }
    }

    /// An amount as a person writes it.
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
    /// The most that any manifest may ask for: what an operator allows who says nothing.
    pub fn most() -> Self {
        let mut limits = Self::default();
        for key in LimitKey::ALL {
            limits.set(key, key.range().1);
        }
        limits
    }

    /// Reads a table of limits over `self`; the lines are those of the keys that it has.
    ///
    /// # Errors
    /// An unknown key, or a value that is out of the limit's range.
    pub fn read(
        mut self,
        table: Table<'_>,
    ) -> Result<(Self, BTreeMap<LimitKey, usize>), Diagnostic> {
        let table = table.only(&LimitKey::ALL.map(LimitKey::as_str))?;
        let mut lines = BTreeMap::new();
        for key in LimitKey::ALL {
            if let Some(item) = table.get(key.as_str()) {
                self.set(key, key.read(&item)?);
                lines.insert(key, item.line());
            }
        }
        Ok((self, lines))
    }

    /// One limit as a person writes it.
    pub fn show(&self, key: LimitKey) -> String {
        key.show(self.get(key))
    }

    /// The limits that are not the default ones, as a person writes them.
    pub fn changed(&self) -> impl Iterator<Item = (LimitKey, String)> {
        let defaults = Self::default();
        LimitKey::ALL
            .into_iter()
            .filter(move |key| self.get(*key) != defaults.get(*key))
            .map(|key| (key, self.show(key)))
    }

    /// Whether one limit is above that of `ceiling`.
    pub fn above(&self, ceiling: &Self, key: LimitKey) -> bool {
        self.get(key) > ceiling.get(key)
    }

    /// The same with no limit above that of `ceiling`, and which ones are lower now.
    pub fn at_most(mut self, ceiling: &Self) -> (Self, Vec<LimitKey>) {
        let above = LimitKey::ALL.into_iter();
        let above: Vec<_> = above.filter(|key| self.above(ceiling, *key)).collect();
        above.iter().for_each(|key| self.take(ceiling, *key));
        (self, above)
    }

    /// Takes one limit from `other`.
    pub fn take(&mut self, other: &Self, key: LimitKey) {
        self.set(key, other.get(key));
    }

    fn get(&self, key: LimitKey) -> u64 {
        match key {
            LimitKey::Memory => self.memory,
            LimitKey::Memories => self.memories,
            LimitKey::Tables => self.tables,
            LimitKey::TableEntries => self.table_entries,
            LimitKey::Instances => self.instances,
            LimitKey::Deadline => u64::try_from(self.deadline.as_nanos()).unwrap_or(u64::MAX),
            LimitKey::BorderBytes => self.border_bytes,
            LimitKey::ResultBytes => self.result_bytes,
            LimitKey::ResultDepth => self.result_depth,
            LimitKey::HostCalls => self.host_calls,
            LimitKey::LogBytes => self.log_bytes,
            LimitKey::Resources => self.resources,
            LimitKey::ComponentBytes => self.component_bytes,
        }
    }

    fn set(&mut self, key: LimitKey, amount: u64) {
        let field = match key {
            LimitKey::Deadline => {
                self.deadline = Duration::from_nanos(amount);
                return;
            }
            LimitKey::Memory => &mut self.memory,
            LimitKey::Memories => &mut self.memories,
            LimitKey::Tables => &mut self.tables,
            LimitKey::TableEntries => &mut self.table_entries,
            LimitKey::Instances => &mut self.instances,
            LimitKey::BorderBytes => &mut self.border_bytes,
            LimitKey::ResultBytes => &mut self.result_bytes,
            LimitKey::ResultDepth => &mut self.result_depth,
            LimitKey::HostCalls => &mut self.host_calls,
            LimitKey::LogBytes => &mut self.log_bytes,
            LimitKey::Resources => &mut self.resources,
            LimitKey::ComponentBytes => &mut self.component_bytes,
        };
        *field = amount;
    }
}

/// Bytes, written with a unit as in "16MiB".
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
    fn every_field_has_a_key_and_its_default_is_in_range() {
        let fields = serde_json::to_value(Limits::default()).unwrap();
        let mut fields: Vec<_> = fields.as_object().unwrap().keys().cloned().collect();
        let mut keys = LimitKey::ALL.map(|key| key.as_str().to_owned()).to_vec();
        fields.sort_unstable();
        keys.sort_unstable();
        assert_eq!(fields, keys);
        for key in LimitKey::ALL {
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
