//! Tests of private items of the store, which run block storage over it. The operators' part of that crate is compiled again here, because
//! the crate itself links another build of the store than the one under test.

#[path = "../../../volumes/testing/any.rs"]
pub mod any;
#[path = "../../../volumes/src/operator/mod.rs"]
pub mod operator;

pub use cairn_volumes::{self as rules, quota};
