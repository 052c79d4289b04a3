//! Several hosts on one database of PostgreSQL, in folders that share nothing: who owns what, requests for projects that another host owns,
//! and what becomes of the flows of a host that dies.

mod asked;
mod dying;
mod library;
mod native;
mod operators;
mod streams;
mod waiting;

use acceptance::hosts;
use acceptance::program::Program;
use cairn_test_postgres::Database;

/// Creates two hosts on a database of their own; `None` without PostgreSQL.
fn two() -> Option<(Database<'static>, [Program; 2])> {
    hosts::two(env!("CARGO_BIN_EXE_cairn-under-test"))
}
