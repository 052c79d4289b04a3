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
    title: Some("key"),
    hidden: &["version", "task"],
    // A change notes the flow's sight; a removed record has no value.
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
    // It only sums up the records.
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
    // Numbers that were given are not part of a rollback.
    is_idle: |_| true,
    ..OWNED
};

const RELEASES: Hooks = Hooks {
    flow: Some("flow"),
    is_idle: |_| true,
    ..OWNED
};

table! {
    /// A record: the published value of a key, and the pending change of the flow that holds the key.
    pub struct Record in "records", called "record", with RECORDS {
        key project_id, collection, key;
        /// The published value, if any.
        value: Option<Json>,
        /// The version of `value`; 0 without one. No two values get the same version.
        version: i64,
        /// Time at which `value` was published.
        updated_at: Option<Timestamp>,
        /// The flow that holds the key.
        flow: Option<FlowId>,
        /// The task of that flow that wrote last.
        task: Option<Text>,
        /// The value that the flow has put; `None` when it has removed the record.
        pending: Option<Json>,
        /// The version of the pending change.
        pending_version: i64,
    }
}

table! {
    /// The usage of a collection by a project.
    pub struct Usage in "record_usages", called "collection", with USAGES {
        key project_id, collection;
        /// Keys that are published or held.
        key_count: i64,
        /// Bytes of their values; for a held key, of the longer of its two values.
        bytes: i64,
        /// The last version that was given.
        versions: i64,
    }
}

table! {
    /// A counter. Its published value is `number` less both pending sums.
    pub struct Counter in "record_counters", called "counter", with COUNTERS {
        key project_id, collection, counter;
        /// The value if every unfinished flow succeeds.
        number: i64,
        /// Sum of the positive numbers that unfinished flows have added.
        pending_up: i64,
        /// Sum of the negative numbers that unfinished flows have added.
        pending_down: i64,
    }
}

table! {
    /// A number that an unfinished flow has added to a counter.
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
    /// An operator's release of a key that a flow held.
    pub struct Release in "record_releases", called "release", with RELEASES {
        key id;
        project_id: Text,
        flow: Option<FlowId>,
        /// The version of the flow's pending change.
        version: i64,
        user_id: Text,
        reason: Text,
        created_at: Timestamp,
    }
}
