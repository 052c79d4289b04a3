//! The first SIGINT or SIGTERM interrupts what runs, the second ends the process. Where nothing can be interrupted the first one ends
//! it, after what is to be done before.

use std::thread::JoinHandle;
use std::time::Duration;

use cairn::event::FlowState;
use cairn::flow::{Flow, FlowError};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use signal_hook::low_level::emulate_default_handler;

use crate::args::Global;
use crate::exit::Failure;
use crate::output;

/// Listens for signals until it is dropped.
pub struct Interrupt {
    handle: Handle,
    listener: Option<JoinHandle<()>>,
}

impl Interrupt {
    /// The first signal calls `stop` from now on, the second ends the process.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn with(global: &Global, stop: impl Fn() + Send + 'static) -> Result<Self, Failure> {
        let global = global.clone();
        Self::listen(catch()?, move |mut signals| {
            let mut interrupted = false;
            for signal in signals.forever() {
                if interrupted {
                    // The database is at its last barrier.
                    end(signal);
                }
                interrupted = true;
                output::warning(
                    &global,
                    "interrupted: tasks in hand finish first; a second signal ends the process",
                );
                stop();
            }
        })
    }

    /// The first of these signals ends the process from now on, after `clean_up`.
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

/// Keeps the signals that come from here on for whoever listens.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn catch() -> Result<Signals, Failure> {
    Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Failure::host(format!("signals cannot be caught: {error}")))
}

/// Ends the process as if nobody had caught the signal.
fn end(signal: i32) -> ! {
    let _ = emulate_default_handler(signal);
    std::process::abort();
}

/// Interrupts a flow, if it is about to start as soon as it has.
pub fn stop(flow: &Flow) {
    loop {
        match flow.interrupt() {
            // The signal came in the moment before the flow starts.
            Err(FlowError::InvalidState {
                state: FlowState::Pending,
                ..
            }) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => return tracing::debug!(%error, "the flow was not interrupted"),
            Ok(()) => return,
        }
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(listener) = self.listener.take()
            && listener.join().is_err()
        {
            tracing::error!("the thread that listens for signals panicked");
        }
    }
}
