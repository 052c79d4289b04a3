-- Portable SQL: a program that keeps its rows elsewhere than in SQLite runs the same text.
-- Times are microseconds since 1970-01-01 UTC. A flow's id is the 16 bytes of a UUID; other ids are text.

-- One row a key that is published, or that an unfinished flow holds.
-- `value`, `version`: what is published; NULL and 0 where nothing is.
-- `flow`, `task`: who holds the key; NULL where no flow does. `pending`, `pending_version`: what that flow has put; NULL where it has
-- removed the record.
CREATE TABLE records (
    project_id      TEXT NOT NULL,
    collection      TEXT NOT NULL,
    key             TEXT NOT NULL,
    value           TEXT,
    version         BIGINT NOT NULL,
    updated_at      BIGINT,
    flow            BLOB,
    task            TEXT,
    pending         TEXT,
    pending_version BIGINT NOT NULL,
    PRIMARY KEY (project_id, collection, key)
);

-- What a project's collection holds, pending rows included, and the last version that was given to a record in it. A version is
-- never given twice.
CREATE TABLE record_usages (
    project_id TEXT NOT NULL,
    collection TEXT NOT NULL,
    key_count  BIGINT NOT NULL,
    bytes      BIGINT NOT NULL,
    versions   BIGINT NOT NULL,
    PRIMARY KEY (project_id, collection)
);

-- `number`: what the counter is when every unfinished flow succeeds. `pending_up`, `pending_down`: what unfinished flows have added
-- to it, apart by sign.
CREATE TABLE record_counters (
    project_id   TEXT NOT NULL,
    collection   TEXT NOT NULL,
    counter      TEXT NOT NULL,
    number       BIGINT NOT NULL,
    pending_up   BIGINT NOT NULL,
    pending_down BIGINT NOT NULL,
    PRIMARY KEY (project_id, collection, counter)
);

-- What an unfinished flow has added to a counter: a row for each time.
CREATE TABLE record_additions (
    id         TEXT NOT NULL PRIMARY KEY,
    project_id TEXT NOT NULL,
    collection TEXT NOT NULL,
    counter    TEXT NOT NULL,
    delta      BIGINT NOT NULL,
    flow       BLOB,
    task       TEXT
);

-- `given`: the last number that was given. It never falls.
CREATE TABLE record_sequences (
    project_id TEXT NOT NULL,
    collection TEXT NOT NULL,
    sequence   TEXT NOT NULL,
    given      BIGINT NOT NULL,
    PRIMARY KEY (project_id, collection, sequence)
);

-- Keys that an operator took from a flow. `version`: that of what the flow had put, which is gone.
CREATE TABLE record_releases (
    id         TEXT NOT NULL PRIMARY KEY,
    project_id TEXT NOT NULL,
    flow       BLOB NOT NULL,
    version    BIGINT NOT NULL,
    user_id    TEXT NOT NULL,
    reason     TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX record_releases_by_flow ON record_releases (flow);
