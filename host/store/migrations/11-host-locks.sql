-- Where each host keeps its lock, by which it is known to be dead: `boot` is the start of its machine's kernel; all four are NULL without a
-- lock. A row outlives its host's lease while the host may be in an act outside the database: the end of a lease is no death. `dead`: the
-- process has ended, as its lock or an operator says.
CREATE TABLE host_locks (
    host   BLOB PRIMARY KEY,
    name   TEXT NOT NULL,
    pid    INTEGER NOT NULL,
    boot   TEXT,
    path   TEXT,
    device INTEGER,
    inode  INTEGER,
    dead   INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- `host`: the process that may be in an act on the object: from before the act until its outcome is recorded.
ALTER TABLE externals ADD COLUMN host BLOB;
CREATE INDEX externals_by_host ON externals (host) WHERE host IS NOT NULL;
