//! What becomes of requests, in tests of plugins.

/// A fault of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFault {
    /// It is not sent: the server takes no connection.
    Unsent,
    /// The server answers it, and the answer is lost: the connection ends.
    Lost,
    /// The server answers it, and the answer never comes. A plugin that waits for it is cut off at its deadline.
    Stuck,
}

/// Decides on the fault of the next request; without one it is sent as usual.
pub type RequestFaults = dyn Fn() -> Option<RequestFault> + Send + Sync;
