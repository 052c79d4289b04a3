-- What the database knows of itself: `name` -> `value`.
CREATE TABLE facts (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Bookings.

-- Idempotency keys.
-- `asked`: the digest of what was asked, NULL for a key of step 3. A key whose flow is pruned says when it ended, and keeps a
-- short report, as JSON; else both are NULL.
ALTER TABLE idempotency_keys ADD COLUMN asked TEXT;
ALTER TABLE idempotency_keys ADD COLUMN ended_at INTEGER;
ALTER TABLE idempotency_keys ADD COLUMN report TEXT;
