-- When a flow that sleeps is to be woken; NULL unless it sleeps. No host owns it meanwhile.
ALTER TABLE flows ADD COLUMN wake_at INTEGER;
CREATE INDEX flows_asleep ON flows (wake_at) WHERE wake_at IS NOT NULL;
