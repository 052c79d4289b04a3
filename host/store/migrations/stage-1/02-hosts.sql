-- Processes that write flows. A row is a lease: who finds it gone may write nothing more. Each host has an id of its own, so
-- the id is the lease's generation.
CREATE TABLE hosts (
    id         BLOB PRIMARY KEY,
    pid        INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- `host`: who has the flow in hand; NULL while it rests. `entries`: the length of its journal, which guards compare-and-set.
-- `incomplete`: a revert failed, and nobody has accepted that. `stuck`: why it cannot be recovered.
ALTER TABLE flows ADD COLUMN host BLOB;
ALTER TABLE flows ADD COLUMN entries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE flows ADD COLUMN incomplete INTEGER NOT NULL DEFAULT 0;
ALTER TABLE flows ADD COLUMN stuck TEXT;
UPDATE flows SET entries = coalesce(
    (SELECT max(first + json_array_length(entries)) FROM journal WHERE journal.flow = flows.id), 0);
-- Nobody has an interrupted flow in hand, but its last call may be in doubt: an id that no host has makes recovery look.
UPDATE flows SET host = zeroblob(16) WHERE state NOT IN ('SUCCESS', 'FAILURE');
CREATE INDEX flows_in_hand ON flows (host) WHERE host IS NOT NULL;
CREATE INDEX flows_incomplete ON flows (id) WHERE incomplete = 1;
CREATE INDEX flows_stuck ON flows (id) WHERE stuck IS NOT NULL;

-- What somebody asks of a flow that another process has in hand. `answer`: a JSON object, once that process has done it.
CREATE TABLE requests (
    id          INTEGER PRIMARY KEY,
    flow        BLOB NOT NULL,
    operation   TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    answered_at INTEGER,
    answer      TEXT
) STRICT;
CREATE INDEX requests_open ON requests (flow) WHERE answer IS NULL;

-- A request that is submitted again under its key gets the first flow.
CREATE TABLE idempotency_keys (
    project_id TEXT NOT NULL,
    key        TEXT NOT NULL,
    flow       BLOB NOT NULL,
    PRIMARY KEY (project_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_flow ON idempotency_keys (flow);
