-- Objects outside the database, and intents to make them. `state`: `making` from before its provider is asked, `made`, or `removing` from
-- before that. `token` grows with each act. `digest`: of the provider's component. `spec` and `result`: JSON.
CREATE TABLE externals (
    provider   text COLLATE "C" NOT NULL,
    kind       text COLLATE "C" NOT NULL,
    id         text COLLATE "C" NOT NULL,
    project_id text COLLATE "C" NOT NULL,
    flow       bytea,
    task       text COLLATE "C" NOT NULL,
    state      text COLLATE "C" NOT NULL,
    spec       text COLLATE "C" NOT NULL,
    result     text COLLATE "C",
    digest     text COLLATE "C" NOT NULL,
    token      bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    PRIMARY KEY (provider, kind, id)
);
CREATE INDEX externals_by_flow ON externals (flow) WHERE flow IS NOT NULL;
