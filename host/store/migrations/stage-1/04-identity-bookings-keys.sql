-- What the database knows of itself: `name` -> `value`.
CREATE TABLE facts (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Bookings.

-- `returned`: an operator deleted the volume while it was booked, and gave its quota back; a rollback of its flow does not.
ALTER TABLE volumes ADD COLUMN returned INTEGER NOT NULL DEFAULT 0;
-- What a flow booked stayed so after its success, until an operator deleted it.
UPDATE volumes SET returned = 1 WHERE deleted = 1 AND flow IN (SELECT id FROM flows WHERE state = 'SUCCESS');

-- `booked_gigabytes`: what a booked snapshot counts for in `gigabytes`, its size or 0, as `no_snapshot_gigabytes` was set when
-- it was made. NULL: not known; then it counts as the setting says, until a count writes that down.
ALTER TABLE snapshots ADD COLUMN booked_gigabytes INTEGER;
-- A snapshot that is not deleted counted always.
UPDATE snapshots SET booked = 1 WHERE booked = 0 AND deleted = 0;
-- The usage tells what was booked, where all snapshots of a project were made under one setting.
UPDATE snapshots SET booked_gigabytes = CASE usage.in_use
        WHEN usage.volumes + usage.snapshots THEN coalesce(volume_size, 0)
        WHEN usage.volumes THEN 0
    END
FROM (
    SELECT of.project_id, in_use, total(volume_size) AS snapshots,
        (SELECT total(size) FROM volumes
         WHERE volumes.project_id = of.project_id AND booked = 1 AND volumes.deleted = 0) AS volumes
    FROM snapshots AS of
    JOIN quota_usages ON quota_usages.project_id = of.project_id AND resource = 'gigabytes' AND quota_usages.deleted = 0
    WHERE of.deleted = 0
    GROUP BY of.project_id
) AS usage
WHERE usage.project_id = snapshots.project_id AND snapshots.deleted = 0;

-- Idempotency keys.
-- `asked`: the digest of what was asked, NULL for a key of step 3. A key whose flow is pruned says when it ended, and keeps a
-- short report, as JSON; else both are NULL.
ALTER TABLE idempotency_keys ADD COLUMN asked TEXT;
ALTER TABLE idempotency_keys ADD COLUMN ended_at INTEGER;
ALTER TABLE idempotency_keys ADD COLUMN report TEXT;
