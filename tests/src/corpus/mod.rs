//! The corpus of hostile guests in `tests/guests/`, one small component per behaviour; the expected end of each; and the arena that runs
//! each beside honest flows.
//!
//! A guest consists of a name in [`for_each_guest!`](crate::for_each_guest), a branch of [`Guest::expectation`], and a file, unless it is
//! generated. A file without a name fails the test of the folder; a missing branch fails compilation; the test of each guest is generated.

mod arena;
mod expect;
mod generate;
mod table;

pub use arena::Arena;
pub use expect::{Ends, Expectation};
pub use table::{Row, Table};

use std::borrow::Cow;

/// Passes every guest to the macro `then`: its name as a variant and as a function, whose words are those of its file name.
#[macro_export]
macro_rules! for_each_guest {
    ($then:ident) => {
        $then! {
            AMillionCalls a_million_calls,
            AMillionNames a_million_names,
            AsksInDescribe asks_in_describe,
            ChangesItsMind changes_its_mind,
            CompilesForMinutes compiles_for_minutes,
            Connects connects,
            CoreModule core_module,
            DeepCode deep_code,
            DeepDetails deep_details,
            DeepResult deep_result,
            DividesByZero divides_by_zero,
            DuplicateKeys duplicate_keys,
            EffectAfterDeadline effect_after_deadline,
            ExitsBadly exits_badly,
            ExitsWell exits_well,
            ExtraProvides extra_provides,
            ForgedOrigin forged_origin,
            Hollow hollow,
            HugeDebugInfo huge_debug_info,
            HugeError huge_error,
            HugeFunction huge_function,
            HugeLog huge_log,
            HugeProperties huge_properties,
            HugeResult huge_result,
            InvalidUtf8 invalid_utf8,
            LoneSurrogate lone_surrogate,
            LoopAfterCall loop_after_call,
            LogFlood log_flood,
            LoopInCall loop_in_call,
            LoopInDescribe loop_in_describe,
            LoopInRealloc loop_in_realloc,
            LoopInRevert loop_in_revert,
            LoopInSettingsSchema loop_in_settings_schema,
            LoopInStart loop_in_start,
            ManyFunctions many_functions,
            ManyInstances many_instances,
            ManyLocals many_locals,
            ManyMemories many_memories,
            ManyTables many_tables,
            MemoryAtStart memory_at_start,
            MemoryBomb memory_bomb,
            MissingProvides missing_provides,
            NeedsHttp needs_http,
            NewerExport newer_export,
            NewerImport newer_import,
            NoGrant no_grant,
            NoJson no_json,
            NumberOutOfRange number_out_of_range,
            OpensFiles opens_files,
            Pollables pollables,
            PrintFlood print_flood,
            ReadsEnvironment reads_environment,
            ReservesOutOfRange reserves_out_of_range,
            ResultAstray result_astray,
            ResultIsAList result_is_a_list,
            ResultOutOfBounds result_out_of_bounds,
            RevertAlwaysFails revert_always_fails,
            SleepInCall sleep_in_call,
            SleepInDescribe sleep_in_describe,
            SleepInPoll sleep_in_poll,
            StackOverflow stack_overflow,
            TableAtStart table_at_start,
            TableBomb table_bomb,
            TerminalCodes terminal_codes,
            TrailingText trailing_text,
            TrapInCall trap_in_call,
            TrapInDescribe trap_in_describe,
            TrapInRevert trap_in_revert,
            TrapInStart trap_in_start,
            TruncatedFile truncated_file,
            VolumesUntilCutOff volumes_until_cut_off,
        }
    };
}

macro_rules! define {
    ($($guest:ident $name:ident),+ $(,)?) => {
        /// A guest. Its behaviour is documented in its file, or where it is generated.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "said in its file")]
        pub enum Guest {
            $($guest),+
        }

        impl Guest {
            /// Every guest.
            pub const ALL: &[Self] = &[$(Self::$guest),+];

            /// Returns the guest's name.
            pub fn name(self) -> String {
                match self {
                    $(Self::$guest => stringify!($name)),+
                }
                .replace('_', "-")
            }
        }
    };
}

for_each_guest!(define);

/// Every guest of `tests/guests/` with a file, as a component.
pub const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/guests.rs"));

impl Guest {
    /// Returns the bytes of the file that a manifest names.
    ///
    /// # Panics
    /// If it is neither generated nor a file.
    pub fn bytes(self) -> Cow<'static, [u8]> {
        if let Some(bytes) = generate::bytes(self) {
            return bytes.into();
        }
        let name = self.name();
        let file = FILES.iter().find(|(known, _)| *known == name);
        let (_, bytes) = file.unwrap_or_else(|| panic!("there is no tests/guests/{name}.wat"));
        (*bytes).into()
    }

    /// Returns whether the guest is generated.
    pub fn is_generated(self) -> bool {
        generate::bytes(self).is_some()
    }
}
