-- Objects outside the database, and intents to make them. `state`: `making` from before its provider is asked, `made`, or `removing` from
-- before that. `token` grows with each act. `digest`: of the provider's component. `spec` and `result`: JSON.
CREATE TABLE externals (
    provider   TEXT NOT NULL,
    kind       TEXT NOT NULL,
    id         TEXT NOT NULL,
    project_id TEXT NOT NULL,
    flow       BLOB,
    task       TEXT NOT NULL,
    state      TEXT NOT NULL,
    spec       TEXT NOT NULL,
    result     TEXT,
    digest     TEXT NOT NULL,
    token      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (provider, kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX externals_by_flow ON externals (flow) WHERE flow IS NOT NULL;
