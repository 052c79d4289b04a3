use std::time::Duration;

use cairn::error::Origin;

use super::Guest;

/// How a guest ends, what it is given, and how soon it must be over.
#[derive(Clone, Copy, Debug)]
pub struct Expectation {
    /// How it ends.
    pub ends: Ends,
    /// `limits` of its manifest, as TOML.
    pub limits: &'static str,
    /// `grants` of its manifest, as TOML.
    pub grants: &'static str,
    /// The longest that its flow, or its planning, may take on a machine that is busy.
    pub within: Duration,
}

/// How a guest ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Nothing runs: planning fails, and says this.
    Refused(&'static str),
    /// Its call fails, by the word of whom, and with what kind of error.
    Fails(Origin, &'static str),
    /// Its call is well, but not its revert, which a later task's failure brings about.
    RevertFails(Origin, &'static str),
    /// It does what it should, or does no harm: its flow succeeds.
    Succeeds,
}

/// The deadline of every guest.
const DEADLINE: &str = "deadline = \"100ms\"";

/// A busy machine may let a thread wait this long.
const SLACK: Duration = Duration::from_secs(1);

impl Expectation {
    /// Ends so within its deadline, without grants.
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

    /// With these limits, whose deadline is so many seconds.
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
    /// What it must come to.
    pub const fn expectation(self) -> Expectation {
        use Ends::{Fails, RevertFails, Succeeds};
        use Origin::{Host, Plugin};
        match self {
            // Time. Whatever it does with it, it is cut off at its deadline.
            Self::LoopInCall
            | Self::LoopAfterCall
            | Self::SleepInCall
            | Self::SleepInPoll
            // Whoever reads it for a backtrace reads it in no time of the guest's.
            | Self::HugeDebugInfo => Expectation::host("DeadlineExceeded"),
            Self::LoopInRevert => Expectation::new(RevertFails(Host, "DeadlineExceeded")),
            Self::LoopInStart
            | Self::LoopInSettingsSchema
            | Self::LoopInDescribe
            // The host hands it its settings.
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
            // Details that are no JSON for the host stay text, and the kind is the guest's own.
            Self::DeepDetails => Expectation::new(Fails(Plugin, "guest")),
            Self::ForgedOrigin => Expectation::new(Fails(Plugin, "DeadlineExceeded")),
            Self::TerminalCodes => Expectation::new(Fails(Plugin, "\u{1b}[2J\u{1b}]0;mine\u{7}")),

            // Crossing the border.
            Self::HugeLog => Expectation::new(Succeeds),
            Self::PrintFlood => Expectation::host("DeadlineExceeded"),
            Self::LogFlood | Self::AMillionCalls => {
                Expectation::host("HostCallsExceeded").deadline("deadline = \"5s\"", 5)
            }
            Self::AMillionNames => Expectation::refused("BorderBytesExceeded"),

            // Effects.
            Self::VolumesUntilCutOff => {
                // What it made in that time is taken back one by one. A fast machine makes many.
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

            // The outside.
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

            // What is no component, or costs more to compile than anybody waits for.
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
