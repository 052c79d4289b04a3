use std::time::Duration;

use cairn::error::Origin;

use super::Guest;

/// The expected end of a guest, its limits and grants, and its time limit.
#[derive(Clone, Copy, Debug)]
pub struct Expectation {
    /// The expected end.
    pub ends: Ends,
    /// `limits` of its manifest, as TOML.
    pub limits: &'static str,
    /// `grants` of its manifest, as TOML.
    pub grants: &'static str,
    /// The maximal duration of its flow, or of its planning, on a busy machine.
    pub within: Duration,
}

/// The end of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Planning fails with this message; nothing runs.
    Refused(&'static str),
    /// Its call fails with an error of this origin and kind.
    Fails(Origin, &'static str),
    /// Its call succeeds, but its revert, caused by the failure of a later task, fails with this origin and kind.
    RevertFails(Origin, &'static str),
    /// Its flow succeeds: the guest behaves correctly or harmlessly.
    Succeeds,
}

/// The deadline of a guest, unless its expectation sets another one.
const DEADLINE: &str = "deadline = \"100ms\"";

/// The tolerated scheduling delay on a busy machine.
const SLACK: Duration = Duration::from_secs(1);

impl Expectation {
    /// Expects this end within the default deadline, without grants.
    const fn new(ends: Ends) -> Self {
        Self {
            ends,
            limits: DEADLINE,
            grants: "",
            within: Duration::from_millis(100).saturating_add(SLACK),
        }
    }

    const fn host(kind: &'static str) -> Self {
        Self::new(Ends::Fails(Origin::Host, kind))
    }

    const fn refused(words: &'static str) -> Self {
        Self::new(Ends::Refused(words))
    }

    /// Sets these limits, whose deadline is this many seconds.
    const fn deadline(self, limits: &'static str, seconds: u64) -> Self {
        Self {
            limits,
            within: Duration::from_secs(seconds).saturating_add(SLACK),
            ..self
        }
    }

    const fn grants(self, grants: &'static str) -> Self {
        Self { grants, ..self }
    }
}

impl Guest {
    /// Returns the expectation of a guest.
    pub const fn expectation(self) -> Expectation {
        use Ends::{Fails, RevertFails, Succeeds};
        use Origin::{Host, Plugin};
        match self {
            // Time: the host interrupts it at its deadline.
            Self::LoopInCall
            | Self::LoopAfterCall
            | Self::SleepInCall
            | Self::SleepInPoll
            // The time that the host needs to read it for a backtrace is not the guest's.
            | Self::HugeDebugInfo => Expectation::host("DeadlineExceeded"),
            Self::LoopInRevert => Expectation::new(RevertFails(Host, "DeadlineExceeded")),
            Self::LoopInStart
            | Self::LoopInSettingsSchema
            | Self::LoopInDescribe
            // Called when the host passes the settings.
            | Self::LoopInRealloc
            | Self::SleepInDescribe => Expectation::refused(
                "the plugin could not describe itself: DeadlineExceeded: the call did not end within 100ms",
            ),

            // Space.
            Self::MemoryBomb => {
                Expectation::host("MemoryExceeded").deadline("deadline = \"5s\"", 5)
            }
            Self::TableBomb => Expectation::host("TableEntriesExceeded"),
            Self::MemoryAtStart => Expectation::refused("MemoryExceeded"),
            Self::TableAtStart => Expectation::refused("TableEntriesExceeded"),
            Self::ManyMemories => Expectation::refused("MemoriesExceeded"),
            Self::ManyTables => Expectation::refused("TablesExceeded"),
            Self::ManyInstances => Expectation::refused("InstancesExceeded"),
            Self::StackOverflow => Expectation::host("Trap"),
            Self::Pollables => {
                Expectation::host("ResourcesExceeded").deadline("deadline = \"5s\"", 5)
            }

            // Results.
            Self::HugeResult => Expectation::host("BorderBytesExceeded")
                .deadline("deadline = \"2s\", memory = \"256MiB\"", 2),
            Self::HugeError => {
                Expectation::host("BorderBytesExceeded").deadline("deadline = \"2s\"", 2)
            }
            Self::ResultOutOfBounds | Self::ResultAstray | Self::InvalidUtf8 => {
                Expectation::host("Trap")
            }
            Self::NoJson
            | Self::TrailingText
            | Self::ResultIsAList
            | Self::NumberOutOfRange
            | Self::LoneSurrogate
            | Self::DuplicateKeys => Expectation::host("ResultInvalid"),
            Self::DeepResult => Expectation::host("ResultTooDeep"),
            Self::MissingProvides => Expectation::host("ResultIncomplete"),
            Self::ExtraProvides => Expectation::new(Succeeds),
            // Details that the host does not accept as JSON are kept as text; the kind is the guest's own.
            Self::DeepDetails => Expectation::new(Fails(Plugin, "guest")),
            Self::ForgedOrigin => Expectation::new(Fails(Plugin, "DeadlineExceeded")),
            Self::TerminalCodes => Expectation::new(Fails(Plugin, "\u{1b}[2J\u{1b}]0;mine\u{7}")),

            // Crossing the component boundary.
            Self::HugeLog => Expectation::new(Succeeds),
            Self::PrintFlood => Expectation::host("DeadlineExceeded"),
            Self::LogFlood | Self::AMillionCalls => {
                Expectation::host("HostCallsExceeded").deadline("deadline = \"5s\"", 5)
            }
            Self::AMillionNames => Expectation::refused("BorderBytesExceeded"),

            // Effects.
            Self::VolumesUntilCutOff => {
                // The volumes are undone one by one, and a fast machine creates many.
                Expectation::host("DeadlineExceeded")
                    .deadline("deadline = \"100ms\", host_calls = 1000000", 5)
                    .grants("volumes = true")
            }
            Self::EffectAfterDeadline => {
                Expectation::host("DeadlineExceeded").grants("volumes = true")
            }
            Self::HugeProperties => Expectation::host("BorderBytesExceeded")
                .deadline("deadline = \"10s\"", 10)
                .grants("volumes = true"),
            Self::ReservesOutOfRange => {
                Expectation::new(Fails(Plugin, "gigabytes")).grants("quota = true")
            }

            // Ends.
            Self::TrapInCall | Self::DividesByZero => Expectation::host("Trap"),
            Self::TrapInStart | Self::TrapInDescribe => {
                Expectation::refused("the plugin could not describe itself: Trap")
            }
            Self::TrapInRevert => Expectation::new(RevertFails(Host, "Trap")),
            Self::RevertAlwaysFails => Expectation::new(RevertFails(Plugin, "CannotGoBack")),
            Self::ExitsWell | Self::ExitsBadly => Expectation::host("Trap"),
            Self::ChangesItsMind => Expectation::new(Succeeds),
            Self::AsksInDescribe => Expectation::refused(
                "no capability but `log` may be called while the plugin describes itself",
            )
            .grants("volumes = true"),

            // Access to the outside.
            Self::ReadsEnvironment | Self::OpensFiles | Self::Connects => {
                Expectation::new(Succeeds)
            }
            Self::NeedsHttp => Expectation::refused("plugins have no network"),
            Self::NewerImport => {
                Expectation::refused("the component was built for `cairn:plugin/quota@0.2.0`")
            }
            Self::NewerExport => {
                Expectation::refused("the component was built for `cairn:plugin/plugin@0.2.0`")
            }
            Self::Hollow => Expectation::refused("does not export `cairn:plugin/plugin@0.1.0.settings-schema`"),
            Self::NoGrant => Expectation::refused(
                "plugin `guest` imports `cairn:plugin/keys`, which flow.toml does not grant it",
            ),

            // Not a component, or too expensive to compile.
            Self::CoreModule => Expectation::refused("a core WebAssembly module, not a component"),
            Self::TruncatedFile => Expectation::refused("the file is truncated"),
            Self::DeepCode => Expectation::refused("blocks inside of each other"),
            Self::CompilesForMinutes => {
                Expectation::refused("that took longer than 2s (`compile.time`)")
                    .deadline(DEADLINE, 10)
            }
            Self::HugeFunction | Self::ManyFunctions | Self::ManyLocals => {
                Expectation::refused("does not export `cairn:plugin/plugin@0.1.0.settings-schema`")
                    .deadline(DEADLINE, 10)
            }
        }
    }
}
