//! Support code of the acceptance tests, which are in the folder `tests/` beside it.

pub mod acts;
pub mod admission_guest;
#[path = "../../host/volumes/testing/any.rs"]
pub mod any;
pub mod commands;
pub mod conformance;
pub mod corpus;
pub mod crash;
pub mod flows;
pub mod guest;
pub mod hosts;
pub mod load;
pub mod normal;
pub mod powerdns;
pub mod program;
pub mod rabbit;
pub mod receiver;
pub mod rust_plugin;
pub mod server;
pub mod serving;
pub mod slow;
pub mod stranger;
pub mod stream;
pub mod tickets;
pub mod tools;
pub mod untrusted;
