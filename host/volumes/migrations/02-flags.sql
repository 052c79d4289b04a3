-- Conditions on flags are written `deleted = FALSE`, as every database takes them. SQLite uses a partial index only for a condition that is
-- written like the index's own.
DROP INDEX quota_usages_by_project;
CREATE UNIQUE INDEX quota_usages_by_project ON quota_usages (project_id, resource) WHERE deleted = FALSE;
