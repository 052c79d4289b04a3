-- The version of each domain's tables. `core` is what the host itself keeps; its later versions are the database's `user_version`.
CREATE TABLE schema (
    domain  TEXT PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The first stage made the tables of block storage, too.
INSERT INTO schema (domain, version) VALUES ('core', 1), ('volumes', 1);
