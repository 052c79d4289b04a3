-- The host's own tables, in the schema `cairn`. Times are microseconds since 1970-01-01 UTC unless their type says otherwise. Ids of flows
-- and hosts are the 16 bytes of a UUID; other ids are text. Texts are compared byte by byte, as SQLite does.

-- The version of each domain's tables. `core` is this file and those after it.
CREATE TABLE schema (
    domain  text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL
);

-- Properties of the database: `name` -> `value`.
CREATE TABLE facts (
    name  text COLLATE "C" PRIMARY KEY,
    value text COLLATE "C" NOT NULL
);

-- Processes that write. A row is a lease, and its id is the lease's generation: a process that does not find its row writes nothing more.
-- `backend`: the process id of the server's session. `batch`: the number of the last batch that is committed; it fences, chains batches,
-- and tells a host whose connection broke whether its batch was committed. `seen`: the catalogue's version that the host decides by.
-- `expires_at`: by the database's clock, which alone it is compared with. `shares`: it takes a fair share of the partitions. `draining`: it
-- takes nothing new, and gives back everything.
CREATE TABLE hosts (
    id         bytea PRIMARY KEY,
    name       text COLLATE "C" NOT NULL DEFAULT '',
    pid        bigint NOT NULL,
    version    text COLLATE "C" NOT NULL DEFAULT '',
    backend    int NOT NULL DEFAULT pg_backend_pid(),
    batch      bigint NOT NULL DEFAULT 0,
    seen       bigint NOT NULL DEFAULT 0,
    started_at bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    shares     boolean NOT NULL DEFAULT FALSE,
    draining   boolean NOT NULL DEFAULT FALSE
) WITH (fillfactor = 50);

-- What never changes of a host, apart from the row that each of its batches writes. `boot`, `lock_path`, `lock_device`, `lock_inode`: the
-- start of its machine's kernel, and the file that its process keeps locked; NULL without one. `settings`: a JSON object with the digest
-- of each setting that rules depend on.
CREATE TABLE host_details (
    host        bytea PRIMARY KEY REFERENCES hosts ON DELETE CASCADE,
    boot        text COLLATE "C",
    lock_path   text COLLATE "C",
    lock_device bigint,
    lock_inode  bigint,
    settings    text COLLATE "C" NOT NULL DEFAULT '{}'
);

-- Which host owns the projects whose names hash to a partition: the first byte of the SHA-256 of a project's name. `wanted`: the host of an
-- operator's change that waits for the partition; its owner hands it over.
CREATE TABLE partitions (
    id     int PRIMARY KEY,
    host   bytea REFERENCES hosts ON DELETE SET NULL,
    wanted bytea REFERENCES hosts ON DELETE SET NULL
) WITH (fillfactor = 50);
INSERT INTO partitions (id) SELECT generate_series(0, 255);
CREATE INDEX partitions_by_host ON partitions (host);
CREATE INDEX partitions_wanted ON partitions (wanted) WHERE wanted IS NOT NULL;

-- The version of the tables whose rows belong to no project: one row. Every host may keep their rows in memory, whichever projects it owns.
CREATE TABLE catalogue (
    one     boolean PRIMARY KEY DEFAULT TRUE CHECK (one),
    version bigint NOT NULL DEFAULT 0
);
INSERT INTO catalogue DEFAULT VALUES;

-- For a trigger of each such table: hosts that see the new version drop the rows that they keep.
CREATE FUNCTION raise_catalogue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE cairn.catalogue SET version = version + 1;
    RETURN NULL;
END $$;

-- One row a flow: the state of its journal, for lists and for recovery. `host`: the host that works on the flow; NULL while it rests.
-- `entries`: the length of its journal, which guards compare-and-set. `incomplete`: a revert failed, and that is not accepted.
-- `stuck`: why it cannot be recovered. `moved`: it rested between two tasks when its host gave the partition back, so the next one goes on.
CREATE TABLE flows (
    id         bytea PRIMARY KEY,
    part       int NOT NULL,
    name       text COLLATE "C" NOT NULL,
    project_id text COLLATE "C" NOT NULL,
    user_id    text COLLATE "C" NOT NULL,
    plan       text COLLATE "C",
    state      text COLLATE "C" NOT NULL,
    error      text COLLATE "C",
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    host       bytea,
    entries    bigint NOT NULL DEFAULT 0,
    incomplete boolean NOT NULL DEFAULT FALSE,
    stuck      text COLLATE "C",
    moved      boolean NOT NULL DEFAULT FALSE
) WITH (fillfactor = 70);
CREATE INDEX flows_by_state ON flows (state);
CREATE INDEX flows_by_host ON flows (host) WHERE host IS NOT NULL;
CREATE INDEX flows_open ON flows (part) WHERE host IS NOT NULL;
CREATE INDEX flows_incomplete ON flows (id) WHERE incomplete;
CREATE INDEX flows_stuck ON flows (id) WHERE stuck IS NOT NULL;

-- What happened to each flow, in order. `first`: the number of a row's first entry. `entries`: a JSON array as an LZ4 block, with its
-- unpacked length before it (32 bits, little-endian): it is packed already, and is kept in the row.
CREATE TABLE journal (
    flow    bytea NOT NULL,
    first   bigint NOT NULL,
    entries bytea NOT NULL,
    PRIMARY KEY (flow, first)
) WITH (toast_tuple_target = 8160);
ALTER TABLE journal ALTER entries SET STORAGE EXTERNAL;

-- Resolved plans, shared by flows: recovery never reads a manifest.
CREATE TABLE plans (
    digest text COLLATE "C" PRIMARY KEY,
    body   text COLLATE "C" NOT NULL
);

-- Components of stored plans, by the SHA-256 of their bytes, which is checked whenever one is read.
CREATE TABLE components (
    digest text COLLATE "C" PRIMARY KEY,
    body   bytea NOT NULL
);
ALTER TABLE components ALTER body SET STORAGE EXTERNAL;

-- Messages to other services. `state`: held until the flow succeeds, then ready, then acked by the process that took
-- it; with a transport sending until it is confirmed, which removes the row, or failed.
CREATE TABLE outbox (
    id         text COLLATE "C" PRIMARY KEY,
    flow       bytea,
    state      text COLLATE "C" NOT NULL,
    topic      text COLLATE "C" NOT NULL,
    method     text COLLATE "C" NOT NULL,
    arguments  text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    project_id text COLLATE "C",
    context    text COLLATE "C",
    attempts   bigint NOT NULL DEFAULT 0,
    due_at     bigint NOT NULL DEFAULT 0,
    since      bigint NOT NULL DEFAULT 0,
    last_error text COLLATE "C"
);
CREATE INDEX outbox_held ON outbox (flow) WHERE state = 'held';
CREATE INDEX outbox_ready ON outbox (id) WHERE state = 'ready';
CREATE INDEX outbox_due ON outbox (due_at, id) WHERE state = 'sending';
-- The messages of a flow before a message.
CREATE INDEX outbox_sending ON outbox (flow, id) WHERE state = 'sending';
-- How many are undelivered, by project.
CREATE INDEX outbox_undelivered ON outbox (project_id) WHERE state IN ('sending', 'failed');

-- Flows that were asked for at a host that does not own their project. The batch that creates the flow deletes the row. `request`: JSON.
-- `answer`: a JSON object, when the owner refused it. `taken`: the host that has read it, and may be about to create the flow.
CREATE TABLE inbox (
    id          bytea PRIMARY KEY,
    part        int NOT NULL,
    project_id  text COLLATE "C" NOT NULL,
    request     text COLLATE "C" NOT NULL,
    created_at  bigint NOT NULL,
    taken       bytea,
    answered_at bigint,
    answer      text COLLATE "C"
);
CREATE INDEX inbox_by_part ON inbox (part, id) WHERE answer IS NULL;
CREATE INDEX inbox_by_project ON inbox (project_id);
CREATE INDEX inbox_answered ON inbox (answered_at) WHERE answered_at IS NOT NULL;

-- Operations that the owner of a project, or of a flow, is asked to perform. `answer`: a JSON object, once it has.
CREATE TABLE requests (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    flow        bytea,
    operation   text COLLATE "C" NOT NULL,
    created_at  bigint NOT NULL,
    answered_at bigint,
    answer      text COLLATE "C"
);
CREATE INDEX requests_open ON requests (flow) WHERE answer IS NULL;

-- A request that is submitted again under its key gets the first flow. `asked`: the digest of the request. A key whose flow is pruned
-- says when it ended, and keeps a short report, as JSON; else both are NULL.
CREATE TABLE idempotency_keys (
    project_id text COLLATE "C" NOT NULL,
    key        text COLLATE "C" NOT NULL,
    flow       bytea NOT NULL,
    asked      text COLLATE "C",
    ended_at   bigint,
    report     text COLLATE "C",
    PRIMARY KEY (project_id, key)
);
CREATE INDEX idempotency_keys_by_flow ON idempotency_keys (flow);

-- The first statement of every batch: refuses the batch unless the host's row is there and this is its next batch. `lease` is in
-- milliseconds; `known` is the catalogue's version that the host decided by. Returns the catalogue's version.
CREATE FUNCTION fence(me bytea, next bigint, lease bigint, known bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    UPDATE cairn.hosts SET batch = next, seen = known, backend = pg_backend_pid(),
        expires_at = clock_timestamp() + lease * interval '1 millisecond'
    WHERE id = me AND batch = next - 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'fenced' USING ERRCODE = 'CA001';
    END IF;
    RETURN (SELECT version FROM cairn.catalogue);
END $$;

-- Refuses a batch one of whose statements changed fewer rows than it names: another program wrote to them.
CREATE FUNCTION expect(changed bigint, wanted bigint, noun text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF changed <> wanted THEN
        RAISE EXCEPTION '% of % changed rows (%) no longer exist', wanted - changed, wanted, noun USING ERRCODE = 'CA002';
    END IF;
END $$;
