//! The tables of records, as rules see them.

use cairn_model::clock::Timestamp;
use cairn_model::id::FlowId;
use cairn_model::value::Value;

use cairn_effects::rows::{Dumped, Hooks, Json, Text};
use cairn_effects::table;

const OWNED: Hooks = Hooks {
    owner: Some("project_id"),
    ..Hooks::NONE
};

const RECORDS: Hooks = Hooks {
    version: Some("version"),
    flow: Some("flow"),
    hidden: &["version", "task"],
    // The note of a change says what the flow sees; a record that it has removed has no value.
    is_absent: |row| row.get("value").is_none_or(Value::is_null),
    dumped: &[
        ("flow", Dumped::WhetherSet),
        ("task", Dumped::LeftOut),
        ("version", Dumped::LeftOut),
        ("pending_version", Dumped::LeftOut),
    ],
    ..OWNED
};

const USAGES: Hooks = Hooks {
    // It says nothing that the records do not say.
    is_idle: |_| true,
    ..OWNED
};

const COUNTERS: Hooks = Hooks {
    dumped: &[
        ("pending_up", Dumped::LeftOut),
        ("pending_down", Dumped::LeftOut),
    ],
    is_idle: |row| row.get("number") == Some(&0.into()),
    ..OWNED
};

const ADDITIONS: Hooks = Hooks {
    flow: Some("flow"),
    // The counter accounts for what was added.
    is_absent: |_| true,
    is_idle: |_| true,
    ..OWNED
};

const SEQUENCES: Hooks = Hooks {
    // A number that was given stays given: no rollback accounts for it.
    is_idle: |_| true,
    ..OWNED
};

const RELEASES: Hooks = Hooks {
    flow: Some("flow"),
    is_idle: |_| true,
    ..OWNED
};

table! {
    /// A record: what is published under a key, and what the flow that holds the key has put.
    pub struct Record in "records", called "record", with RECORDS {
        key project_id, collection, key;
        /// What is published; `None` where nothing is.
        value: Option<Json>,
        /// The version of `value`; 0 without one. A version is never given to two values.
        version: i64,
        /// When `value` became what it is.
        updated_at: Option<Timestamp>,
        /// The flow that holds the key.
        flow: Option<FlowId>,
        /// The task of that flow which wrote last.
        task: Option<Text>,
        /// What that flow has put; `None` when it has removed the record.
        pending: Option<Json>,
        /// The version of what that flow has done.
        pending_version: i64,
    }
}

table! {
    /// What a project's collection holds.
    pub struct Usage in "record_usages", called "collection", with USAGES {
        key project_id, collection;
        /// Keys that are published or held.
        key_count: i64,
        /// Bytes of their values; of one that is held, of the longer one of the two.
        bytes: i64,
        /// The last version that was given.
        versions: i64,
    }
}

table! {
    /// A counter. What is published of it is `number` less both pending sums.
    pub struct Counter in "record_counters", called "counter", with COUNTERS {
        key project_id, collection, counter;
        /// What it is when every unfinished flow succeeds.
        number: i64,
        /// The positive numbers that unfinished flows have added.
        pending_up: i64,
        /// The negative numbers that unfinished flows have added.
        pending_down: i64,
    }
}

table! {
    /// What a flow that has not ended has added to a counter.
    pub struct Addition in "record_additions", called "addition", with ADDITIONS {
        key id;
        project_id: Text,
        collection: Text,
        counter: Text,
        delta: i64,
        flow: Option<FlowId>,
        task: Option<Text>,
    }
}

table! {
    /// A sequence.
    pub struct Sequence in "record_sequences", called "sequence", with SEQUENCES {
        key project_id, collection, sequence;
        /// The last number that was given.
        given: i64,
    }
}

table! {
    /// That an operator took a key from a flow.
    pub struct Release in "record_releases", called "release", with RELEASES {
        key id;
        project_id: Text,
        flow: Option<FlowId>,
        /// The version of what the flow had done.
        version: i64,
        user_id: Text,
        reason: Text,
        created_at: Timestamp,
    }
}
