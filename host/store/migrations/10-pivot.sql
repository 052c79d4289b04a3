-- Whether a flow that has not ended has passed its pivot: it only goes forward.
ALTER TABLE flows ADD COLUMN forward INTEGER NOT NULL DEFAULT FALSE;
CREATE INDEX flows_forward ON flows (id) WHERE forward;
