-- Where each host keeps its lock, by which it is known to be dead: `boot` is the start of its machine's kernel; all four are NULL without a
-- lock. A row outlives its host's lease while the host may be in an act outside the database: the end of a lease is no death. `dead`: the
-- process has ended, as its lock or an operator says.
CREATE TABLE host_locks (
    host   bytea PRIMARY KEY,
    name   text COLLATE "C" NOT NULL,
    pid    bigint NOT NULL,
    boot   text COLLATE "C",
    path   text COLLATE "C",
    device bigint,
    inode  bigint,
    dead   boolean NOT NULL DEFAULT FALSE
);
ALTER TABLE host_details DROP COLUMN boot, DROP COLUMN lock_path, DROP COLUMN lock_device, DROP COLUMN lock_inode;

-- `host`: the process that may be in an act on the object: from before the act until its outcome is recorded.
ALTER TABLE externals ADD COLUMN host bytea;
CREATE INDEX externals_by_host ON externals (host) WHERE host IS NOT NULL;
