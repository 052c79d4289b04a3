# The SQL of one flow of the case `over-quota`, statement by statement: a baseline of `cairn bench`. Frozen, so that engines are held against
# the same work.
#
# Recorded when the store still decided each effect by statements of its own, from a flow that ran alone, on a database on disk that
# had seen two flows of the case: it is what SQLite says it runs (sqlite3_trace_v2, SQLITE_TRACE_STMT) on the writer's
# connection; what a batch has once for all its flows is left out. Below each statement stand its parameters as JSON. Ids are ${id0}, ${id1}, … in order
# of their appearance, and new for each flow; {"id": …} is an id as 16 bytes, {"time": …} the flow's time in microseconds,
# {"packed": …} text that is packed as the journal's.

SELECT ?1 IN (SELECT name FROM zones) OR NOT EXISTS (SELECT 1 FROM zones)
    ["nova"]
SELECT in_use, reserved, until_refresh, updated_at FROM quota_usages WHERE project_id = ? AND resource = ? AND deleted = FALSE
    ["demo","gigabytes"]
SELECT in_use, reserved, until_refresh, updated_at FROM quota_usages WHERE project_id = ? AND resource = ? AND deleted = FALSE
    ["demo","volumes"]
SELECT hard_limit FROM quotas WHERE project_id = ? AND resource = ?
    ["demo","gigabytes"]
SELECT hard_limit FROM quota_classes WHERE class_name = ? AND resource = ?
    ["default","gigabytes"]
SELECT hard_limit FROM quotas WHERE project_id = ? AND resource = ?
    ["demo","volumes"]
SELECT hard_limit FROM quota_classes WHERE class_name = ? AND resource = ?
    ["default","volumes"]
SELECT resource, in_use, reserved, until_refresh, updated_at FROM quota_usages WHERE project_id = ? AND deleted = FALSE
    ["demo"]
DELETE FROM outbox WHERE flow = ? AND state = 'held'
    [{"id":"id0"}]
INSERT INTO journal (flow, first, entries) VALUES (?, ?, ?)
    [{"id":"id0"},0,{"packed":"[{\"at\":${now},\"event\":{\"created\":{\"name\":\"volume_create_api\",\"requester\":{\"request_id\":\"req-${id1}\",\"user_id\":\"demo\",\"project_id\":\"demo\",\"roles\":[],\"is_admin\":false,\"quota_class\":null},\"request\":{\"availability_zone\":null,\"backup_source_volume\":null,\"description\":null,\"image_id\":null,\"metadata\":null,\"name\":\"too-much\",\"scheduler_hints\":null,\"size\":2000,\"snapshot\":null,\"source_volume\":null,\"volume_type\":{}},\"plan\":\"498dec85cd0b3c0c07a74872a9f07cf6c40858c3f30d94f0f234533757805124\"}}},{\"at\":${now},\"event\":{\"state\":{\"from\":\"PENDING\",\"to\":\"STARTED\"}}},{\"at\":${now},\"event\":{\"state\":{\"from\":\"STARTED\",\"to\":\"RUNNING\"}}},{\"at\":${now},\"event\":{\"started\":{\"task\":\"${id2}\",\"name\":\"inject;volume:create\",\"attempt\":1}}},{\"at\":${now},\"event\":{\"succeeded\":{\"task\":\"${id2}\",\"result\":{\"availability_zone\":null,\"backup_source_volume\":null,\"description\":null,\"image_id\":null,\"metadata\":null,\"name\":\"too-much\",\"scheduler_hints\":null,\"size\":2000,\"snapshot\":null,\"source_volume\":null,\"volume_type\":{}}}}},{\"at\":${now},\"event\":{\"started\":{\"task\":\"${id3}\",\"name\":\"extract-volume-request;volume:create\",\"attempt\":1}}},{\"at\":${now},\"event\":{\"succeeded\":{\"task\":\"${id3}\",\"result\":{\"availability_zone\":\"nova\",\"encryption_key_id\":null,\"qos_specs\":null,\"size\":2000,\"snapshot_id\":null,\"source_volid\":null,\"volume_type\":{},\"volume_type_id\":null}}}},{\"at\":${now},\"event\":{\"started\":{\"task\":\"${id4}\",\"name\":\"quota-reserve;volume:create\",\"attempt\":1}}},{\"at\":${now},\"event\":{\"task_failed\":{\"task\":\"${id4}\",\"error\":{\"kind\":\"VolumeSizeExceedsAvailableQuota\",\"origin\":\"plugin\",\"message\":\"2000 GiB more exceed the quota of the project, which uses 0 GiB (over: gigabytes)\",\"details\":null}}}},{\"at\":${now},\"event\":{\"failed\":{\"task\":\"quota-reserve;volume:create\",\"error\":{\"kind\":\"VolumeSizeExceedsAvailableQuota\",\"origin\":\"plugin\",\"message\":\"2000 GiB more exceed the quota of the project, which uses 0 GiB (over: gigabytes)\",\"details\":null}}}},{\"at\":${now},\"event\":{\"state\":{\"from\":\"RUNNING\",\"to\":\"REVERTING\"}}},{\"at\":${now},\"event\":{\"reverting\":{\"task\":\"${id4}\",\"attempt\":1}}},{\"at\":${now},\"event\":{\"reverted\":{\"task\":\"${id4}\",\"disposition\":\"keep\"}}},{\"at\":${now},\"event\":{\"reverting\":{\"task\":\"${id3}\",\"attempt\":1}}},{\"at\":${now},\"event\":{\"reverted\":{\"task\":\"${id3}\",\"disposition\":\"undo\"}}},{\"at\":${now},\"event\":{\"reverting\":{\"task\":\"${id2}\",\"attempt\":1}}},{\"at\":${now},\"event\":{\"reverted\":{\"task\":\"${id2}\",\"disposition\":\"undo\"}}},{\"at\":${now},\"event\":{\"state\":{\"from\":\"REVERTING\",\"to\":\"FAILURE\"}}}]"}]
INSERT INTO flows (id, name, project_id, user_id, plan, state, error, created_at, updated_at, host, entries, incomplete) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    [{"id":"id0"},"volume_create_api","demo","demo","498dec85cd0b3c0c07a74872a9f07cf6c40858c3f30d94f0f234533757805124","FAILURE","VolumeSizeExceedsAvailableQuota",{"time":"now"},{"time":"now"},null,18,0]
