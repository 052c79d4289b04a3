//! Trying again while a server is away.

use std::thread;
use std::time::{Duration, Instant};

use super::link::LinkError;

/// The pause before the second try; doubled each time.
const PAUSE: Duration = Duration::from_millis(2);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The pause before the next try: longer each time.
pub(super) struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(PAUSE)
    }
}

impl Pause {
    pub(super) fn sleep(&mut self) {
        thread::sleep(self.0);
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
    }
}

/// Repeats what only reads, or connects, while its connection is lost and until `patience` is over.
///
/// # Errors
/// That of the last try.
pub(super) fn while_lost<T>(
    patience: Duration,
    mut attempt: impl FnMut() -> Result<T, LinkError>,
) -> Result<T, LinkError> {
    let until = Instant::now() + patience;
    let mut pause = Pause::default();
    loop {
        match attempt() {
            Err(LinkError::Lost(reason)) if Instant::now() < until => {
                tracing::debug!(%reason, "the server is tried again");
                pause.sleep();
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_tried_again_and_what_is_refused_is_not() {
        let lost = || LinkError::Lost("away".to_owned());
        let mut tries = 0;
        let found = while_lost(Duration::from_secs(60), || {
            tries += 1;
            if tries < 4 { Err(lost()) } else { Ok(tries) }
        });
        assert_eq!(found.unwrap(), 4);

        let mut tries = 0;
        let refused = while_lost(Duration::from_secs(60), || {
            tries += 1;
            Err::<(), _>(LinkError::Refused("no".to_owned()))
        });
        assert!(refused.is_err());
        assert_eq!(tries, 1);
        assert!(while_lost(Duration::ZERO, || Err::<(), _>(lost())).is_err());
    }
}
