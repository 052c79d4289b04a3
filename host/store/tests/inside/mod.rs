//! What the tests of the store's insides run over it: block storage. Its operators' part is compiled once more, as that of the crate knows
//! another build of the store than the one under test.

#[path = "../../../volumes/testing/any.rs"]
pub mod any;
#[path = "../../../volumes/src/operator/mod.rs"]
pub mod operator;

pub use cairn_volumes::{self as rules, quota};
