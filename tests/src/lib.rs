//! What the whole of Cairn is held to. The tests are in the folder above; what they are made of is here.

#[path = "../../host/volumes/testing/any.rs"]
pub mod any;
pub mod check_guest;
pub mod commands;
pub mod conformance;
pub mod corpus;
pub mod crash;
pub mod guest;
pub mod normal;
pub mod program;
pub mod rabbit;
pub mod rust_plugin;
pub mod slow;
pub mod stranger;
pub mod stream;
pub mod tickets;
pub mod tools;
pub mod untrusted;
