-- Times are microseconds since 1970-01-01 UTC. Flow ids are the 16 bytes of a UUID; other ids are text.

-- One row a flow: what its journal says, for lists and for recovery.
CREATE TABLE flows (
    id          BLOB PRIMARY KEY,
    name        TEXT NOT NULL,
    project_id  TEXT NOT NULL,
    user_id     TEXT NOT NULL,
    plan        TEXT,
    state       TEXT NOT NULL,
    error       TEXT,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX flows_by_state ON flows (state);

-- What happened to each flow, in order: `entries` is a JSON array, `first` the number of its first entry.
CREATE TABLE journal (
    flow    BLOB NOT NULL,
    first   INTEGER NOT NULL,
    entries TEXT NOT NULL,
    PRIMARY KEY (flow, first)
) STRICT, WITHOUT ROWID;

-- Resolved plans, shared by flows: recovery never reads a manifest.
CREATE TABLE plans (
    digest TEXT PRIMARY KEY,
    body   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE volume_types (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    extra_specs  TEXT NOT NULL DEFAULT '{}',
    qos_specs_id TEXT,
    deleted      INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX volume_types_by_name ON volume_types (name) WHERE deleted = 0;

CREATE TABLE qos_specs (
    id       TEXT PRIMARY KEY,
    name     TEXT NOT NULL,
    consumer TEXT NOT NULL,
    specs    TEXT NOT NULL DEFAULT '{}'
) STRICT, WITHOUT ROWID;

-- Volumes of these types are encrypted.
CREATE TABLE encryptions (
    volume_type_id   TEXT PRIMARY KEY,
    provider         TEXT NOT NULL,
    cipher           TEXT,
    key_size         INTEGER,
    control_location TEXT NOT NULL DEFAULT 'front-end',
    deleted          INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- `booked`: counted in its project's usage. `flow`: who made it. `version`: grows with each change, guards compare-and-set.
CREATE TABLE volumes (
    id                  TEXT PRIMARY KEY,
    project_id          TEXT,
    user_id             TEXT,
    size                INTEGER,
    status              TEXT NOT NULL,
    attach_status       TEXT,
    availability_zone   TEXT,
    display_name        TEXT,
    display_description TEXT,
    volume_type_id      TEXT,
    snapshot_id         TEXT,
    source_volid        TEXT,
    encryption_key_id   TEXT,
    host                TEXT,
    scheduled_at        INTEGER,
    bootable            INTEGER NOT NULL DEFAULT 0,
    metadata            TEXT NOT NULL DEFAULT '{}',
    deleted             INTEGER NOT NULL DEFAULT 0,
    booked              INTEGER NOT NULL DEFAULT 0,
    version             INTEGER NOT NULL DEFAULT 1,
    flow                BLOB,
    created_at          INTEGER NOT NULL,
    updated_at          INTEGER,
    deleted_at          INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX volumes_by_project ON volumes (project_id, deleted);
CREATE INDEX volumes_by_flow ON volumes (flow) WHERE flow IS NOT NULL;
CREATE INDEX volumes_by_source ON volumes (source_volid) WHERE source_volid IS NOT NULL;

CREATE TABLE snapshots (
    id                  TEXT PRIMARY KEY,
    project_id          TEXT,
    user_id             TEXT,
    volume_id           TEXT,
    volume_size         INTEGER,
    volume_type_id      TEXT,
    status              TEXT NOT NULL,
    display_name        TEXT,
    display_description TEXT,
    encryption_key_id   TEXT,
    deleted             INTEGER NOT NULL DEFAULT 0,
    booked              INTEGER NOT NULL DEFAULT 0,
    created_at          INTEGER NOT NULL,
    deleted_at          INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX snapshots_by_project ON snapshots (project_id, deleted);
CREATE INDEX snapshots_by_volume ON snapshots (volume_id);

-- Size in bytes, min_disk in GiB. `project_id` NULL: everyone's.
CREATE TABLE images (
    id         TEXT PRIMARY KEY,
    project_id TEXT,
    name       TEXT,
    size       INTEGER NOT NULL,
    checksum   TEXT,
    min_disk   INTEGER NOT NULL DEFAULT 0,
    status     TEXT NOT NULL DEFAULT 'active',
    path       TEXT,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Where volumes may be placed. While the table is empty every zone is valid.
CREATE TABLE zones (
    name TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- Limits: NULL and -1 are unlimited.
CREATE TABLE quotas (
    project_id TEXT NOT NULL,
    resource   TEXT NOT NULL,
    hard_limit INTEGER,
    PRIMARY KEY (project_id, resource)
) STRICT, WITHOUT ROWID;

CREATE TABLE quota_classes (
    class_name TEXT NOT NULL,
    resource   TEXT NOT NULL,
    hard_limit INTEGER,
    PRIMARY KEY (class_name, resource)
) STRICT, WITHOUT ROWID;

CREATE TABLE quota_usages (
    id            INTEGER PRIMARY KEY,
    project_id    TEXT NOT NULL,
    resource      TEXT NOT NULL,
    in_use        INTEGER NOT NULL,
    reserved      INTEGER NOT NULL,
    until_refresh INTEGER,
    updated_at    INTEGER,
    deleted       INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX quota_usages_by_project ON quota_usages (project_id, resource) WHERE deleted = 0;

-- `state`: open, committed, rolled_back, expired or destroyed.
CREATE TABLE reservations (
    id         TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    resource   TEXT NOT NULL,
    delta      INTEGER NOT NULL,
    state      TEXT NOT NULL DEFAULT 'open',
    expire     INTEGER NOT NULL,
    flow       BLOB,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX reservations_open ON reservations (expire) WHERE state = 'open';
CREATE INDEX reservations_by_flow ON reservations (flow, resource) WHERE flow IS NOT NULL;

-- Keys, sealed with the master key.
CREATE TABLE keys (
    id         TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    sealed     BLOB NOT NULL,
    flow       BLOB,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- `state`: held until the flow succeeds, then ready, then acked by whoever took it.
CREATE TABLE outbox (
    id         TEXT PRIMARY KEY,
    flow       BLOB,
    state      TEXT NOT NULL,
    topic      TEXT NOT NULL,
    method     TEXT NOT NULL,
    arguments  TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_held ON outbox (flow) WHERE state = 'held';
CREATE INDEX outbox_ready ON outbox (id) WHERE state = 'ready';
