-- Flows that clients ask for by their names. `version` counts from 1 for each name and is never used twice. `plan`: the digest of a stored
-- plan. `checks`: a JSON object, what the cases and laws of its plugins came to. `withdrawn_at`: when it was undeployed.
CREATE TABLE deployments (
    name         text COLLATE "C" NOT NULL,
    version      bigint NOT NULL,
    plan         text COLLATE "C" NOT NULL,
    manifest     text COLLATE "C" NOT NULL,
    checks       text COLLATE "C" NOT NULL,
    user_id      text COLLATE "C" NOT NULL,
    created_at   bigint NOT NULL,
    withdrawn_at bigint,
    PRIMARY KEY (name, version)
);

-- Tokens of clients. `digest`: the SHA-256 of the token, which is stored nowhere. `projects`, `roles`: JSON arrays of texts.
CREATE TABLE tokens (
    id         text COLLATE "C" PRIMARY KEY,
    digest     text COLLATE "C" NOT NULL UNIQUE,
    user_id    text COLLATE "C" NOT NULL,
    projects   text COLLATE "C" NOT NULL,
    roles      text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint,
    revoked_at bigint
);

-- Who is logged in at the dashboard. `digest`: of the cookie. `token`: the id of the token; NULL for a user with a password.
CREATE TABLE sessions (
    digest     text COLLATE "C" PRIMARY KEY,
    token      text COLLATE "C",
    user_id    text COLLATE "C" NOT NULL,
    project_id text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    seen_at    bigint NOT NULL
);
CREATE INDEX sessions_by_time ON sessions (seen_at);

-- What operators changed. `id`: a UUID that grows with time. `source`: where the change was asked for. `action`: its name. `subject`: what
-- was changed. `before`, `after`: JSON.
CREATE TABLE audit (
    id         text COLLATE "C" PRIMARY KEY,
    at         bigint NOT NULL,
    user_id    text COLLATE "C" NOT NULL,
    source     text COLLATE "C" NOT NULL,
    action     text COLLATE "C" NOT NULL,
    subject    text COLLATE "C" NOT NULL,
    project_id text COLLATE "C",
    reason     text COLLATE "C",
    before     text COLLATE "C",
    after      text COLLATE "C"
);
CREATE INDEX audit_by_subject ON audit (subject, id);
CREATE INDEX audit_by_time ON audit (at);

-- For lists and the status of the database.
DROP INDEX flows_by_state;
CREATE INDEX flows_by_state ON flows (state, id);
CREATE INDEX flows_by_project ON flows (project_id, state, id);
CREATE INDEX flows_by_error ON flows (error, id) WHERE error IS NOT NULL;
CREATE INDEX flows_sleeping ON flows (id) WHERE wake_at IS NOT NULL;
-- Flows that took longer than a second.
CREATE INDEX flows_long ON flows (id) WHERE updated_at - created_at > 1000000;
-- Acts whose outcome is not recorded.
CREATE INDEX externals_open ON externals (flow) WHERE state <> 'made';
