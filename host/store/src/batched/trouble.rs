use parking_lot::Mutex;

/// Why the last batch could not be written, for those who do not wait for the writer.
#[derive(Debug, Default)]
pub(crate) struct Trouble(Mutex<Option<String>>);

impl Trouble {
    pub(super) fn note(&self, reason: String) {
        *self.0.lock() = Some(reason);
    }

    pub(crate) fn is_over(&self) {
        *self.0.lock() = None;
    }

    pub(crate) fn reason(&self) -> Option<String> {
        self.0.lock().clone()
    }
}
