//! The person at the command line, for the audit.

use std::sync::Arc;

/// Returns where commands of this process are asked for: the user and the machine, as the operating system knows them.
pub fn source() -> Arc<str> {
    let user = whoami::username()
        .unwrap_or_else(|_| format!("uid {}", rustix::process::geteuid().as_raw()));
    let system = rustix::system::uname();
    let machine = system.nodename().to_string_lossy();
    format!("command line, {user}@{machine}").into()
}
