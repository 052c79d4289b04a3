//! Every guest of the hostile corpus comes to the end that it must, in time, and harms nobody beside it.
//!
//! `cargo test --release --workspace --test corpus -- --nocapture` prints what each came to, and how long that took.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use acceptance::corpus::{Arena, FILES, Guest, Table};
use acceptance::for_each_guest;
use cairn::plugin::{PluginConfig, Plugins};

/// One sandbox for all, so that each built-in plugin is compiled once.
fn plugins() -> &'static Arc<Plugins> {
    static PLUGINS: OnceLock<Arc<Plugins>> = OnceLock::new();
    PLUGINS.get_or_init(|| {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("corpus-cache");
        let config = PluginConfig {
            cache: Some(cache),
            ..PluginConfig::default()
        };
        Plugins::new(&config).expect("this machine runs the sandbox")
    })
}

#[track_caller]
fn meet(guest: Guest) {
    // One at a time: they are timed.
    static TABLE: Mutex<Table> = Mutex::new(Table(Vec::new()));
    let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    let met = Arena::new(plugins()).and_then(|arena| arena.meet(guest));
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
