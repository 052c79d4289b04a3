//! Statistics of the generated cases.

use std::ops::AddAssign;

macro_rules! tally {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts of each class.
        #[derive(Clone, Debug, Default)]
        pub struct Tally {
            $($(#[$doc])* pub $name: usize,)*
        }

        impl Tally {
            /// Returns every class and how often it was reached.
            pub fn classes(&self) -> Vec<(&'static str, usize)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }

        impl AddAssign for Tally {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

tally! {
    succeeded,
    failed_clean,
    failed_kept,
    failed_residue,
    failed_incomplete,
    call_retries,
    revert_retries,
    failed_reverts,
    /// An inverse that was refused: the row was changed since, or another depends on it.
    refused_undos,
    /// A revert that failed, and whose effects could not be undone.
    refused_revert_undos,
    over_quota,
    /// More was given back than the flow had committed.
    refused_give_backs,
    /// A task named another project's object.
    denied,
    checkpoints,
    interrupted,
    /// A volume of a failed flow that a successful flow had changed, and that was therefore kept.
    orphans,
    /// A message that was taken before its flow was rolled back after success.
    taken,
    /// Rolled back by hand a second time.
    rolled_back_again,
    /// Rolled back after success.
    rolled_back_after_success,
    crashes,
    /// Flows found by recovery, by state.
    recovered_running,
    recovered_reverting,
    recovered_waiting,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (class, count) in self.classes() {
            writeln!(f, "{count:>9} {}", class.replace('_', " "))?;
        }
        Ok(())
    }
}
