-- Messages that a transport delivers: `sending` until they are confirmed, which removes the row, or `failed`.
ALTER TABLE outbox ADD COLUMN project_id TEXT;
ALTER TABLE outbox ADD COLUMN context TEXT;
ALTER TABLE outbox ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN due_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN last_error TEXT;
CREATE INDEX outbox_due ON outbox (due_at, id) WHERE state = 'sending';
-- The messages of a flow before a message.
CREATE INDEX outbox_sending ON outbox (flow, id) WHERE state = 'sending';
-- How many are undelivered, by project.
CREATE INDEX outbox_undelivered ON outbox (project_id) WHERE state IN ('sending', 'failed');
