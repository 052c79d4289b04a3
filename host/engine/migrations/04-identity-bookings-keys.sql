-- What the database knows of itself: `name` -> `value`.
CREATE TABLE facts (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Bookings.

-- Idempotency keys.
