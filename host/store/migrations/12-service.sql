-- Flows that clients ask for by their names. `version` counts from 1 for each name and is never used twice. `plan`: the digest of a stored
-- plan. `checks`: a JSON object, what the cases and laws of its plugins came to. `withdrawn_at`: when it was undeployed.
CREATE TABLE deployments (
    name         TEXT NOT NULL,
    version      INTEGER NOT NULL,
    plan         TEXT NOT NULL,
    manifest     TEXT NOT NULL,
    checks       TEXT NOT NULL,
    user_id      TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    withdrawn_at INTEGER,
    PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;

-- Tokens of clients. `digest`: the SHA-256 of the token, which is stored nowhere. `projects`, `roles`: JSON arrays of texts.
CREATE TABLE tokens (
    id         TEXT PRIMARY KEY,
    digest     TEXT NOT NULL UNIQUE,
    user_id    TEXT NOT NULL,
    projects   TEXT NOT NULL,
    roles      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

-- Who is logged in at the dashboard. `digest`: of the cookie. `token`: the id of the token; NULL for a user with a password.
CREATE TABLE sessions (
    digest     TEXT PRIMARY KEY,
    token      TEXT,
    user_id    TEXT NOT NULL,
    project_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_time ON sessions (seen_at);

-- What operators changed. `id`: a UUID that grows with time. `source`: where the change was asked for. `action`: its name. `subject`: what
-- was changed. `before`, `after`: JSON.
CREATE TABLE audit (
    id         TEXT PRIMARY KEY,
    at         INTEGER NOT NULL,
    user_id    TEXT NOT NULL,
    source     TEXT NOT NULL,
    action     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    project_id TEXT,
    reason     TEXT,
    before     TEXT,
    after      TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_by_subject ON audit (subject, id);
CREATE INDEX audit_by_time ON audit (at);

-- For lists and the status of the database. SQLite uses a partial index only for a condition that is written like the index's own.
DROP INDEX flows_incomplete;
CREATE INDEX flows_incomplete ON flows (id) WHERE incomplete;
CREATE INDEX flows_by_project ON flows (project_id, state, id);
CREATE INDEX flows_by_error ON flows (error, id) WHERE error IS NOT NULL;
CREATE INDEX flows_sleeping ON flows (id) WHERE wake_at IS NOT NULL;
-- Flows that took longer than a second.
CREATE INDEX flows_long ON flows (id) WHERE updated_at - created_at > 1000000;
-- Acts whose outcome is not recorded.
CREATE INDEX externals_open ON externals (flow) WHERE state <> 'made';
