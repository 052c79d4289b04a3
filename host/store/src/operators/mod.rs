//! What operators and hosts ask of a database besides batches, in portable SQL: one implementation for every backend that runs it.

pub mod admin;
pub mod audit;
pub(crate) mod components;
pub mod deployments;
mod facts;
mod flows;
pub(crate) mod held;
mod host_store;
pub(crate) mod idempotency;
pub(crate) mod keys;
pub(crate) mod lookup;
pub(crate) mod on_disk;
pub mod projects;
mod rows;
mod sleepers;
pub mod tokens;
pub mod view;

use cairn_model::clock::Timestamp;

use crate::Caller;
use crate::config::Env;
use crate::sql::Sql;

/// What an operator's reads and changes work with.
#[derive(Clone, Copy)]
pub(crate) struct Access<'a> {
    pub(crate) sql: &'a dyn Sql,
    pub(crate) env: &'a Env,
    pub(crate) by: Caller<'a>,
    pub(crate) now: Timestamp,
}

impl<'a> Access<'a> {
    pub(crate) fn new(sql: &'a dyn Sql, env: &'a Env, by: Caller<'a>) -> Self {
        Self {
            sql,
            env,
            by,
            now: env.clock.now(),
        }
    }
}
