//! Flows over HTTP, and the dashboard.
