# The SQL of one flow of the case `cast-fails`, statement by statement: a baseline of `cairn bench`. Frozen, so that engines are held against
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
INSERT INTO reservations (id, project_id, resource, delta, expire, flow, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)
    ["${id0}","demo","gigabytes",2,{"time":"expiry"},{"id":"id1"},{"time":"now"}]
UPDATE quota_usages SET in_use = in_use + ?3, reserved = reserved + ?4, updated_at = ?5 WHERE project_id = ?1 AND resource = ?2 AND deleted = FALSE AND in_use + ?3 BETWEEN -9223372036854775808 AND 9223372036854775807 AND reserved + ?4 BETWEEN -9223372036854775808 AND 9223372036854775807
    ["demo","gigabytes",0,2,{"time":"now"}]
INSERT INTO reservations (id, project_id, resource, delta, expire, flow, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)
    ["${id2}","demo","volumes",1,{"time":"expiry"},{"id":"id1"},{"time":"now"}]
UPDATE quota_usages SET in_use = in_use + ?3, reserved = reserved + ?4, updated_at = ?5 WHERE project_id = ?1 AND resource = ?2 AND deleted = FALSE AND in_use + ?3 BETWEEN -9223372036854775808 AND 9223372036854775807 AND reserved + ?4 BETWEEN -9223372036854775808 AND 9223372036854775807
    ["demo","volumes",0,1,{"time":"now"}]
INSERT INTO volumes (id, project_id, user_id, size, status, attach_status, availability_zone, display_name, display_description, volume_type_id, snapshot_id, source_volid, encryption_key_id, metadata, flow, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id, project_id, user_id, size, status, attach_status, availability_zone, display_name, display_description, volume_type_id, snapshot_id, source_volid, encryption_key_id, host, scheduled_at, bootable, deleted, created_at
    ["${id3}","demo","demo",2,"creating","detached","nova","data","Two GiB for data",null,null,null,null,"{\"purpose\":\"example\"}",{"id":"id1"},{"time":"now"}]
SAVEPOINT effect
SELECT resource, delta, project_id, flow, state FROM reservations WHERE id = ?
    ["${id0}"]
SELECT resource, delta, project_id, flow, state FROM reservations WHERE id = ?
    ["${id2}"]
UPDATE reservations SET state = ? WHERE id = ?
    ["committed","${id0}"]
UPDATE quota_usages SET in_use = in_use + ?3, reserved = reserved + ?4, updated_at = ?5 WHERE project_id = ?1 AND resource = ?2 AND deleted = FALSE AND in_use + ?3 BETWEEN -9223372036854775808 AND 9223372036854775807 AND reserved + ?4 BETWEEN -9223372036854775808 AND 9223372036854775807
    ["demo","gigabytes",2,-2,{"time":"now"}]
UPDATE reservations SET state = ? WHERE id = ?
    ["committed","${id2}"]
UPDATE quota_usages SET in_use = in_use + ?3, reserved = reserved + ?4, updated_at = ?5 WHERE project_id = ?1 AND resource = ?2 AND deleted = FALSE AND in_use + ?3 BETWEEN -9223372036854775808 AND 9223372036854775807 AND reserved + ?4 BETWEEN -9223372036854775808 AND 9223372036854775807
    ["demo","volumes",1,-1,{"time":"now"}]
UPDATE volumes SET booked = ?2 WHERE flow = ?1 AND deleted = 0 AND booked <> ?2 RETURNING id
    [{"id":"id1"},1]
RELEASE effect
INSERT INTO outbox (id, flow, state, topic, method, arguments, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)
    ["${id4}",{"id":"id1"},"held","cinder-scheduler","create_volume","{}",{"time":"now"}]
SAVEPOINT effect
SELECT state FROM outbox WHERE id = ?
    ["${id4}"]
DELETE FROM outbox WHERE id = ?
    ["${id4}"]
RELEASE effect
SAVEPOINT effect
SELECT id, project_id, user_id, size, status, attach_status, availability_zone, display_name, display_description, volume_type_id, snapshot_id, source_volid, encryption_key_id, host, scheduled_at, bootable, deleted, created_at FROM volumes WHERE id = ?
    ["${id3}"]
SELECT version, status FROM volumes WHERE id = ?
    ["${id3}"]
UPDATE volumes SET status = ?, version = ?, updated_at = ? WHERE id = ?
    ["error",2,{"time":"now"},"${id3}"]
SELECT id, project_id, user_id, size, status, attach_status, availability_zone, display_name, display_description, volume_type_id, snapshot_id, source_volid, encryption_key_id, host, scheduled_at, bootable, deleted, created_at FROM volumes WHERE id = ?
    ["${id3}"]
RELEASE effect
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
SELECT COALESCE(SUM(delta), 0) FROM reservations WHERE flow = ? AND resource = ? AND project_id = ? AND (state = 'committed' OR (state = 'open' AND delta < 0))
    [{"id":"id1"},"gigabytes","demo"]
SELECT COALESCE(SUM(delta), 0) FROM reservations WHERE flow = ? AND resource = ? AND project_id = ? AND (state = 'committed' OR (state = 'open' AND delta < 0))
    [{"id":"id1"},"volumes","demo"]
INSERT INTO reservations (id, project_id, resource, delta, expire, flow, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)
    ["${id5}","demo","gigabytes",-2,{"time":"expiry"},{"id":"id1"},{"time":"now"}]
INSERT INTO reservations (id, project_id, resource, delta, expire, flow, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)
    ["${id6}","demo","volumes",-1,{"time":"expiry"},{"id":"id1"},{"time":"now"}]
SAVEPOINT effect
SELECT resource, delta, project_id, flow, state FROM reservations WHERE id = ?
    ["${id5}"]
SELECT resource, delta, project_id, flow, state FROM reservations WHERE id = ?
    ["${id6}"]
UPDATE reservations SET state = ? WHERE id = ?
    ["committed","${id5}"]
UPDATE quota_usages SET in_use = in_use + ?3, reserved = reserved + ?4, updated_at = ?5 WHERE project_id = ?1 AND resource = ?2 AND deleted = FALSE AND in_use + ?3 BETWEEN -9223372036854775808 AND 9223372036854775807 AND reserved + ?4 BETWEEN -9223372036854775808 AND 9223372036854775807
    ["demo","gigabytes",-2,0,{"time":"now"}]
UPDATE reservations SET state = ? WHERE id = ?
    ["committed","${id6}"]
UPDATE quota_usages SET in_use = in_use + ?3, reserved = reserved + ?4, updated_at = ?5 WHERE project_id = ?1 AND resource = ?2 AND deleted = FALSE AND in_use + ?3 BETWEEN -9223372036854775808 AND 9223372036854775807 AND reserved + ?4 BETWEEN -9223372036854775808 AND 9223372036854775807
    ["demo","volumes",-1,0,{"time":"now"}]
UPDATE volumes SET booked = ?2 WHERE flow = ?1 AND deleted = 0 AND booked <> ?2 RETURNING id
    [{"id":"id1"},0]
RELEASE effect
DELETE FROM outbox WHERE flow = ? AND state = 'held'
    [{"id":"id1"}]
INSERT INTO journal (flow, first, entries) VALUES (?, ?, ?)
    [{"id":"id1"},0,{"packed":"[{\"at\":${now},\"event\":{\"created\":{\"name\":\"volume_create_api\",\"requester\":{\"request_id\":\"req-${id7}\",\"user_id\":\"demo\",\"project_id\":\"demo\",\"roles\":[],\"is_admin\":false,\"quota_class\":null},\"request\":{\"availability_zone\":null,\"backup_source_volume\":null,\"description\":\"Two GiB for data\",\"image_id\":null,\"metadata\":{\"purpose\":\"example\"},\"name\":\"data\",\"scheduler_hints\":null,\"size\":2,\"snapshot\":null,\"source_volume\":null,\"volume_type\":{}},\"plan\":\"3fb58dbe249209eec00ddce29eb5cb2f20c6977d54e549270cf43a160796a9dd\"}}},{\"at\":${now},\"event\":{\"state\":{\"from\":\"PENDING\",\"to\":\"STARTED\"}}},{\"at\":${now},\"event\":{\"state\":{\"from\":\"STARTED\",\"to\":\"RUNNING\"}}},{\"at\":${now},\"event\":{\"started\":{\"task\":\"${id8}\",\"name\":\"inject;volume:create\",\"attempt\":1}}},{\"at\":${now},\"event\":{\"succeeded\":{\"task\":\"${id8}\",\"result\":{\"availability_zone\":null,\"backup_source_volume\":null,\"description\":\"Two GiB for data\",\"image_id\":null,\"metadata\":{\"purpose\":\"example\"},\"name\":\"data\",\"scheduler_hints\":null,\"size\":2,\"snapshot\":null,\"source_volume\":null,\"volume_type\":{}}}}},{\"at\":${now},\"event\":{\"started\":{\"task\":\"${id9}\",\"name\":\"extract-volume-request;volume:create\",\"attempt\":1}}},{\"at\":${now},\"event\":{\"succeeded\":{\"task\":\"${id9}\",\"result\":{\"availability_zone\":\"nova\",\"encryption_key_id\":null,\"qos_specs\":null,\"size\":2,\"snapshot_id\":null,\"source_volid\":null,\"volume_type\":{},\"volume_type_id\":null}}}},{\"at\":${now},\"event\":{\"started\":{\"task\":\"${id10}\",\"name\":\"quota-reserve;volume:create\",\"attempt\":1}}},{\"at\":${now},\"event\":{\"applied\":{\"number\":1,\"call\":{\"flow\":\"${id1}\",\"task\":\"${id10}\",\"phase\":\"call\",\"attempt\":1},\"effect\":\"quota_reserve\",\"changes\":[{\"row\":{\"table\":\"reservations\",\"id\":\"${id0}\",\"before\":null,\"after\":{\"state\":\"open\"}}},{\"usage\":{\"project\":\"demo\",\"resource\":\"gigabytes\",\"reserved\":2}},{\"row\":{\"table\":\"reservations\",\"id\":\"${id2}\",\"before\":null,\"after\":{\"state\":\"open\"}}},{\"usage\":{\"project\":\"demo\",\"resource\":\"volumes\",\"reserved\":1}}]}}},{\"at\":${now},\"event\":{\"succeeded\":{\"task\":\"${id10}\",\"result\":{\"reservations\":[\"${id0}\",\"${id2}\"]}}}},{\"at\":${now},\"event\":{\"started\":{\"task\":\"${id11}\",\"name\":\"entry-create;volume:create\",\"attempt\":1}}},{\"at\":${now},\"event\":{\"applied\":{\"number\":2,\"call\":{\"flow\":\"${id1}\",\"task\":\"${id11}\",\"phase\":\"call\",\"attempt\":1},\"effect\":\"volume_create\",\"changes\":[{\"row\":{\"table\":\"volumes\",\"id\":\"${id3}\",\"before\":null,\"after\":{\"status\":\"creating\",\"version\":1}}}]}}},{\"at\":${now},\"event\":{\"succeeded\":{\"task\":\"${id11}\",\"result\":{\"volume\":{\"attach_status\":\"detached\",\"availability_zone\":\"nova\",\"bootable\":false,\"created_at\":\"2026-11-26T18:44:27.711458Z\",\"deleted\":false,\"display_description\":\"Two GiB for data\",\"display_name\":\"data\",\"encryption_key_id\":null,\"host\":null,\"id\":\"${id3}\",\"project_id\":\"demo\",\"scheduled_at\":null,\"size\":2,\"snapshot_id\":null,\"source_volid\":null,\"status\":\"creating\",\"user_id\":\"demo\",\"volume_type_id\":null},\"volume_id\":\"${id3}\",\"volume_properties\":{\"attach_status\":\"detached\",\"availability_zone\":\"nova\",\"display_description\":\"Two GiB for data\",\"display_name\":\"data\",\"encryption_key_id\":null,\"id\":\"${id3}\",\"metadata\":{\"purpose\":\"example\"},\"project_id\":\"demo\",\"reservations\":[\"${id0}\",\"${id2}\"],\"size\":2,\"snapshot_id\":null,\"source_volid\":null,\"status\":\"creating\",\"user_id\":\"demo\",\"volume_type_id\":null}}}}},{\"at\":${now},\"event\":{\"started\":{\"task\":\"${id12}\",\"name\":\"quota-commit;volume:create\",\"attempt\":1}}},{\"at\":${now},\"event\":{\"applied\":{\"number\":3,\"call\":{\"flow\":\"${id1}\",\"task\":\"${id12}\",\"phase\":\"call\",\"attempt\":1},\"effect\":\"quota_commit\",\"changes\":[{\"row\":{\"table\":\"reservations\",\"id\":\"${id0}\",\"before\":{\"state\":\"open\"},\"after\":{\"state\":\"committed\"}}},{\"usage\":{\"project\":\"demo\",\"resource\":\"gigabytes\",\"in_use\":2,\"reserved\":-2}},{\"row\":{\"table\":\"reservations\",\"id\":\"${id2}\",\"before\":{\"state\":\"open\"},\"after\":{\"state\":\"committed\"}}},{\"usage\":{\"project\":\"demo\",\"resource\":\"volumes\",\"in_use\":1,\"reserved\":-1}},{\"row\":{\"table\":\"volumes\",\"id\":\"${id3}\",\"before\":{\"booked\":false},\"after\":{\"booked\":true}}}]}}},{\"at\":${now},\"event\":{\"succeeded\":{\"task\":\"${id12}\",\"result\":{\"volume_properties\":{\"attach_status\":\"detached\",\"availability_zone\":\"nova\",\"display_description\":\"Two GiB for data\",\"display_name\":\"data\",\"encryption_key_id\":null,\"id\":\"${id3}\",\"metadata\":{\"purpose\":\"example\"},\"project_id\":\"demo\",\"reservations\":[\"${id0}\",\"${id2}\"],\"size\":2,\"snapshot_id\":null,\"source_volid\":null,\"status\":\"creating\",\"user_id\":\"demo\",\"volume_type_id\":null}}}}},{\"at\":${now},\"event\":{\"started\":{\"task\":\"${id13}\",\"name\":\"on-failure-change-status;volume:create\",\"attempt\":1}}},{\"at\":${now},\"event\":{\"succeeded\":{\"task\":\"${id13}\",\"result\":{\"volume_id\":\"${id3}\",\"volume_spec\":null}}}},{\"at\":${now},\"event\":{\"started\":{\"task\":\"${id14}\",\"name\":\"volume-cast;volume:create\",\"attempt\":1}}},{\"at\":${now},\"event\":{\"applied\":{\"number\":4,\"call\":{\"flow\":\"${id1}\",\"task\":\"${id14}\",\"phase\":\"call\",\"attempt\":1},\"effect\":\"cast\",\"changes\":[{\"row\":{\"table\":\"outbox\",\"id\":\"${id4}\",\"before\":null,\"after\":{\"state\":\"held\"}}}]}}},{\"at\":${now},\"event\":{\"task_failed\":{\"task\":\"${id14}\",\"error\":{\"kind\":\"CastFailed\",\"origin\":\"plugin\",\"message\":\"nobody listens at the scheduler's topic\",\"details\":null}}}},{\"at\":${now},\"event\":{\"failed\":{\"task\":\"volume-cast;volume:create\",\"error\":{\"kind\":\"CastFailed\",\"origin\":\"plugin\",\"message\":\"nobody listens at the scheduler's topic\",\"details\":null}}}},{\"at\":${now},\"event\":{\"undone\":{\"number\":4}}},{\"at\":${now},\"event\":{\"state\":{\"from\":\"RUNNING\",\"to\":\"REVERTING\"}}},{\"at\":${now},\"event\":{\"reverting\":{\"task\":\"${id14}\",\"attempt\":1}}},{\"at\":${now},\"event\":{\"reverted\":{\"task\":\"${id14}\",\"disposition\":\"undo\"}}},{\"at\":${now},\"event\":{\"reverting\":{\"task\":\"${id13}\",\"attempt\":1}}},{\"at\":${now},\"event\":{\"checkpoint\":{\"task\":\"${id13}\",\"attempt\":1}}},{\"at\":${now},\"event\":{\"applied\":{\"number\":5,\"call\":{\"flow\":\"${id1}\",\"task\":\"${id13}\",\"phase\":\"revert\",\"attempt\":1},\"effect\":\"volume_update\",\"changes\":[{\"row\":{\"table\":\"volumes\",\"id\":\"${id3}\",\"before\":{\"status\":\"creating\",\"version\":1},\"after\":{\"status\":\"error\",\"version\":2}}}]}}},{\"at\":${now},\"event\":{\"checkpoint\":{\"task\":\"${id13}\",\"attempt\":1}}},{\"at\":${now},\"event\":{\"reverted\":{\"task\":\"${id13}\",\"disposition\":\"keep\"}}},{\"at\":${now},\"event\":{\"reverting\":{\"task\":\"${id12}\",\"attempt\":1}}},{\"at\":${now},\"event\":{\"applied\":{\"number\":6,\"call\":{\"flow\":\"${id1}\",\"task\":\"${id12}\",\"phase\":\"revert\",\"attempt\":1},\"effect\":\"quota_reserve\",\"changes\":[{\"row\":{\"table\":\"reservations\",\"id\":\"${id5}\",\"before\":null,\"after\":{\"state\":\"open\"}}},{\"row\":{\"table\":\"reservations\",\"id\":\"${id6}\",\"before\":null,\"after\":{\"state\":\"open\"}}}]}}},{\"at\":${now},\"event\":{\"applied\":{\"number\":7,\"call\":{\"flow\":\"${id1}\",\"task\":\"${id12}\",\"phase\":\"revert\",\"attempt\":1},\"effect\":\"quota_commit\",\"changes\":[{\"row\":{\"table\":\"reservations\",\"id\":\"${id5}\",\"before\":{\"state\":\"open\"},\"after\":{\"state\":\"committed\"}}},{\"usage\":{\"project\":\"demo\",\"resource\":\"gigabytes\",\"in_use\":-2}},{\"row\":{\"table\":\"reservations\",\"id\":\"${id6}\",\"before\":{\"state\":\"open\"},\"after\":{\"state\":\"committed\"}}},{\"usage\":{\"project\":\"demo\",\"resource\":\"volumes\",\"in_use\":-1}},{\"row\":{\"table\":\"volumes\",\"id\":\"${id3}\",\"before\":{\"booked\":true},\"after\":{\"booked\":false}}}]}}},{\"at\":${now},\"event\":{\"reverted\":{\"task\":\"${id12}\",\"disposition\":\"keep\"}}},{\"at\":${now},\"event\":{\"reverting\":{\"task\":\"${id11}\",\"attempt\":1}}},{\"at\":${now},\"event\":{\"reverted\":{\"task\":\"${id11}\",\"disposition\":\"keep\"}}},{\"at\":${now},\"event\":{\"reverting\":{\"task\":\"${id10}\",\"attempt\":1}}},{\"at\":${now},\"event\":{\"reverted\":{\"task\":\"${id10}\",\"disposition\":\"keep\"}}},{\"at\":${now},\"event\":{\"reverting\":{\"task\":\"${id9}\",\"attempt\":1}}},{\"at\":${now},\"event\":{\"reverted\":{\"task\":\"${id9}\",\"disposition\":\"undo\"}}},{\"at\":${now},\"event\":{\"reverting\":{\"task\":\"${id8}\",\"attempt\":1}}},{\"at\":${now},\"event\":{\"reverted\":{\"task\":\"${id8}\",\"disposition\":\"undo\"}}},{\"at\":${now},\"event\":{\"state\":{\"from\":\"REVERTING\",\"to\":\"FAILURE\"}}}]"}]
INSERT INTO flows (id, name, project_id, user_id, plan, state, error, created_at, updated_at, host, entries, incomplete) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    [{"id":"id1"},"volume_create_api","demo","demo","3fb58dbe249209eec00ddce29eb5cb2f20c6977d54e549270cf43a160796a9dd","FAILURE","CastFailed",{"time":"now"},{"time":"now"},null,44,0]
