//! The time in which a thread waits for the database, which [`stall`] counts.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use cairn_model::clock::SystemClock;
use cairn_model::stall;
use cairn_store::memory::MemoryDatabase;
use cairn_store::{Batched, Store, StoreConfig};

use crate::place::config;
use crate::scene::{apply, begin, reserve};

/// How long the database takes for a batch: twice this.
const SLOW: Duration = Duration::from_millis(100);

#[test]
fn a_thread_counts_the_time_in_which_it_waits_for_the_database() {
    let (committing, commits) = channel();
    let backend = MemoryDatabase::default().backend(move || {
        let _ = committing.send(());
        std::thread::sleep(SLOW);
        false
    });
    let mut config = StoreConfig::from(config());
    config.batch.age = Duration::from_secs(60);
    let store = Batched::over(backend, config, Arc::new(SystemClock)).unwrap();
    let waited = || {
        let before = stall::total();
        let since = Instant::now();
        move || (stall::total() - before, since.elapsed())
    };

    let call = begin(&store);
    let of_effect = waited();
    apply(&store, call, reserve(1)).unwrap();
    let (stalled, elapsed) = of_effect();
    assert!(
        stalled < SLOW && stalled <= elapsed,
        "nothing was committed"
    );

    std::thread::scope(|scope| {
        let committer = scope.spawn(|| {
            let of_commit = waited();
            store.barrier(call.flow).unwrap();
            of_commit()
        });
        commits.recv().unwrap();
        // This effect has to wait until the batch of the others is committed.
        let of_effect = waited();
        apply(&store, call, reserve(1)).unwrap();
        let (stalled, elapsed) = of_effect();
        assert!(SLOW <= stalled && stalled <= elapsed, "{stalled:?}");
        let (stalled, elapsed) = committer.join().unwrap();
        assert!(2 * SLOW <= stalled && stalled <= elapsed, "{stalled:?}");
    });
}
