//! Handles signals: the first SIGINT, SIGTERM or SIGHUP interrupts running flows, the second ends the process. If there is nothing to
//! interrupt, the first one ends the process after a clean-up. Without a listener each signal acts as it does by default.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_default;
use signal_hook::iterator::{Handle, Signals};
use signal_hook::low_level::emulate_default_handler;

use crate::args::Global;
use crate::exit::Failure;
use crate::message;

/// Created when signals are first caught; true while no listener exists.
static UNHEARD: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Listens for signals until it is dropped.
pub struct Interrupt {
    handle: Handle,
    listener: Option<JoinHandle<()>>,
}

impl Interrupt {
    /// Calls `stop` on the first signal from now on; the second one ends the process.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn with(global: &Global, stop: impl Fn() + Send + 'static) -> Result<Self, Failure> {
        let global = global.clone();
        Self::listen(catch()?, move |mut signals| {
            let mut interrupted = false;
            for signal in signals.forever() {
                if interrupted {
                    // Safe at any time: the database holds everything up to its last commit.
                    end(signal);
                }
                interrupted = true;
                message::warning(
                    &global,
                    "interrupted: running tasks finish first; a second signal ends the process",
                );
                stop();
            }
        })
    }

    /// Ends the process on the first of these signals, after `clean_up`.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn before_the_end(
        signals: Signals,
        clean_up: impl FnOnce() + Send + 'static,
    ) -> Result<Self, Failure> {
        Self::listen(signals, move |mut signals| {
            let first = signals.forever().next();
            if let Some(signal) = first {
                clean_up();
                end(signal);
            }
        })
    }

    fn listen(
        signals: Signals,
        listen: impl FnOnce(Signals) + Send + 'static,
    ) -> Result<Self, Failure> {
        let handle = signals.handle();
        let listener = std::thread::Builder::new()
            .name("cairn-signals".to_owned())
            .spawn(move || listen(signals))
            .map_err(|error| Failure::host(format!("a thread cannot be started: {error}")))?;
        Ok(Self {
            handle,
            listener: Some(listener),
        })
    }
}

/// Catches signals from now on, and keeps them for a listener.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn catch() -> Result<Signals, Failure> {
    let signals = match ignores_hangup() {
        true => &[SIGINT, SIGTERM][..],
        false => &[SIGINT, SIGTERM, SIGHUP],
    };
    let unheard = UNHEARD.get_or_init(|| {
        let unheard = Arc::new(AtomicBool::new(false));
        for signal in signals {
            let registered = register_conditional_default(*signal, Arc::clone(&unheard));
            if let Err(error) = registered {
                tracing::warn!(%error, "a signal is lost once its listener is gone");
            }
        }
        unheard
    });
    unheard.store(false, Ordering::SeqCst);
    Signals::new(signals)
        .map_err(|error| Failure::host(format!("signals cannot be caught: {error}")))
}

/// Returns whether this process was started to outlive its terminal, as by `nohup`.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| (mask >> (SIGHUP - 1)) & 1 == 1)
}

/// Ends the process as if the signal had not been caught.
fn end(signal: i32) -> ! {
    let _ = emulate_default_handler(signal);
    std::process::abort();
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(unheard) = UNHEARD.get() {
            unheard.store(true, Ordering::SeqCst);
        }
        if let Some(listener) = self.listener.take()
            && listener.join().is_err()
        {
            tracing::error!("the thread that listens for signals panicked");
        }
    }
}
