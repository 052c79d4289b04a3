//! Every guest of the hostile corpus ends as expected, in time, and does not affect other flows.
//!
//! `cargo test --release --workspace --test corpus -- --nocapture` prints the end of each guest, and its durations.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use acceptance::corpus::{Arena, FILES, Guest, Table};
use acceptance::for_each_guest;
use cairn::config::CompileConfig;
use cairn::plugin::{Compiler, InProcess, PluginConfig, Plugins};
use cairn_cli::compile::InChild;

/// Returns the sandbox shared by all guests, so that each built-in plugin is compiled once. The guest that takes minutes to compile uses
/// one with a short time limit.
fn plugins(guest: Guest) -> &'static Arc<Plugins> {
    static PATIENT: OnceLock<Arc<Plugins>> = OnceLock::new();
    static IMPATIENT: OnceLock<Arc<Plugins>> = OnceLock::new();
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("corpus-cache");
    let plugins = |compiler: Arc<dyn Compiler>| {
        let cache = Some(cache);
        let config = PluginConfig {
            cache,
            compiler: Some(compiler),
            ..cairn::plugin_config()
        };
        Plugins::new(&config).expect("this machine runs the sandbox")
    };
    if guest == Guest::CompilesForMinutes {
        let limits = CompileConfig {
            time: Duration::from_secs(2),
            ..CompileConfig::default()
        };
        let compiler = InChild::new(limits).program(env!("CARGO_BIN_EXE_cairn-under-test"));
        return IMPATIENT.get_or_init(|| plugins(Arc::new(compiler)));
    }
    PATIENT.get_or_init(|| plugins(Arc::new(InProcess)))
}

#[track_caller]
fn meet(guest: Guest) {
    // One at a time, because their durations are measured.
    static TABLE: Mutex<Table> = Mutex::new(Table(Vec::new()));
    let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    let met = Arena::new(plugins(guest)).and_then(|arena| arena.meet(guest));
    match met {
        Ok(row) => table.0.push(row),
        Err(error) => panic!("{error:#}"),
    }
    if table.0.len() == Guest::ALL.len() {
        println!("\n{table}");
    }
}

macro_rules! tests {
    ($($guest:ident $name:ident),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                meet(Guest::$guest);
            }
        )+
    };
}

for_each_guest!(tests);

#[test]
fn every_file_is_a_guest_and_every_guest_a_file_or_generated() {
    let files: BTreeSet<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let guests = Guest::ALL.iter().filter(|guest| !guest.is_generated());
    let guests: BTreeSet<String> = guests.map(|guest| guest.name()).collect();
    assert_eq!(files, guests);
}
