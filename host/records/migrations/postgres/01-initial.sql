-- Times are microseconds since 1970-01-01 UTC. A flow's id is the 16 bytes of a UUID; other ids are text.

-- One row a key that is published, or that an unfinished flow holds.
-- `value`, `version`: what is published; NULL and 0 where nothing is.
-- `flow`, `task`: who holds the key; NULL where no flow does. `pending`, `pending_version`: what that flow has put; NULL where it has
-- removed the record.
CREATE TABLE records (
    project_id      text COLLATE "C" NOT NULL,
    collection      text COLLATE "C" NOT NULL,
    key             text COLLATE "C" NOT NULL,
    value           text COLLATE "C",
    version         bigint NOT NULL,
    updated_at      bigint,
    flow            bytea,
    task            text COLLATE "C",
    pending         text COLLATE "C",
    pending_version bigint NOT NULL,
    PRIMARY KEY (project_id, collection, key)
);

-- What a project's collection holds, pending rows included, and the last version that was given to a record in it. A version is
-- never given twice.
CREATE TABLE record_usages (
    project_id text COLLATE "C" NOT NULL,
    collection text COLLATE "C" NOT NULL,
    key_count  bigint NOT NULL,
    bytes      bigint NOT NULL,
    versions   bigint NOT NULL,
    PRIMARY KEY (project_id, collection)
);

-- `number`: what the counter is when every unfinished flow succeeds. `pending_up`, `pending_down`: what unfinished flows have added
-- to it, apart by sign.
CREATE TABLE record_counters (
    project_id   text COLLATE "C" NOT NULL,
    collection   text COLLATE "C" NOT NULL,
    counter      text COLLATE "C" NOT NULL,
    number       bigint NOT NULL,
    pending_up   bigint NOT NULL,
    pending_down bigint NOT NULL,
    PRIMARY KEY (project_id, collection, counter)
);

-- What an unfinished flow has added to a counter: one row for each addition.
CREATE TABLE record_additions (
    id         text COLLATE "C" NOT NULL PRIMARY KEY,
    project_id text COLLATE "C" NOT NULL,
    collection text COLLATE "C" NOT NULL,
    counter    text COLLATE "C" NOT NULL,
    delta      bigint NOT NULL,
    flow       bytea,
    task       text COLLATE "C"
);

-- `given`: the last number that was given. It never falls.
CREATE TABLE record_sequences (
    project_id text COLLATE "C" NOT NULL,
    collection text COLLATE "C" NOT NULL,
    sequence   text COLLATE "C" NOT NULL,
    given      bigint NOT NULL,
    PRIMARY KEY (project_id, collection, sequence)
);

-- Keys that an operator took from a flow. `version`: that of what the flow had put, which is gone.
CREATE TABLE record_releases (
    id         text COLLATE "C" NOT NULL PRIMARY KEY,
    project_id text COLLATE "C" NOT NULL,
    flow       bytea NOT NULL,
    version    bigint NOT NULL,
    user_id    text COLLATE "C" NOT NULL,
    reason     text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL
);
CREATE INDEX record_releases_by_flow ON record_releases (flow);
