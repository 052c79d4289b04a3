(component
  ;; Makes each kind of change: puts the record that its settings, `{"key":"…"}`, name, creates and books a volume, and sends a message.
  (type $error-type (record (field "kind" string) (field "message" string) (field "details" (option string))))
  (import "cairn:plugin/context@0.1.0" (instance $context (export "settings" (func (result string)))))
  (import "cairn:plugin/records@0.1.0" (instance $records
    (export "error" (type $error (eq $error-type)))
    (type $expect-type (variant (case "any") (case "absent") (case "version" u64)))
    (export "expect" (type $expect (eq $expect-type)))
    (export "put" (func
      (param "collection" string) (param "key" string) (param "value" string) (param "expect" $expect)
      (result (result u64 (error $error)))))))
  (import "cairn:plugin/quota@0.1.0" (instance $quota
    (export "error" (type $error (eq $error-type)))
    (type $delta-type (record (field "resource" string) (field "amount" s64)))
    (export "delta" (type $delta (eq $delta-type)))
    (type $usage-type (record
      (field "resource" string) (field "limit" (option s64)) (field "in-use" s64) (field "reserved" s64)))
    (export "usage" (type $usage (eq $usage-type)))
    (type $over-type (record (field "overs" (list string)) (field "usages" (list $usage))))
    (export "over-quota" (type $over (eq $over-type)))
    (type $quota-error-type (variant (case "over" $over) (case "unknown-resource" (list string)) (case "other" $error)))
    (export "quota-error" (type $quota-error (eq $quota-error-type)))
    (export "reserve" (func (param "deltas" (list $delta)) (result (result (list string) (error $quota-error)))))
    (export "commit" (func (param "reservations" (list string)) (result (result (error $quota-error)))))))
  (import "cairn:plugin/volumes@0.1.0" (instance $volumes
    (export "error" (type $error (eq $error-type)))
    (export "create" (func (param "properties" string) (result (result string (error $error)))))))
  (import "cairn:plugin/rpc@0.1.0" (instance $rpc
    (export "error" (type $error (eq $error-type)))
    (export "cast" (func
      (param "topic" string) (param "method" string) (param "arguments" string)
      (result (result (error $error)))))))

  ;; Memory and the allocator are in their own module, because the imports need them first.
  (core module $memory
    (memory (export "memory") 2)
    (global $free (mut i32) (i32.const 65536))
    ;; A bump allocator over the rest of the memory; an instance lives for one call.
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      (global.set $free (i32.add (local.get $at) (local.get 3)))
      (local.get $at)))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $mem))
  (alias core export $memory "realloc" (core func $realloc))
  (core func $settings (canon lower (func $context "settings") (memory $mem) (realloc $realloc)))
  (core func $put (canon lower (func $records "put") (memory $mem) (realloc $realloc)))
  (core func $reserve (canon lower (func $quota "reserve") (memory $mem) (realloc $realloc)))
  (core func $commit (canon lower (func $quota "commit") (memory $mem) (realloc $realloc)))
  (core func $create (canon lower (func $volumes "create") (memory $mem) (realloc $realloc)))
  (core func $cast (canon lower (func $rpc "cast") (memory $mem) (realloc $realloc)))

  (core module $guest
    (import "host" "memory" (memory 0))
    (import "host" "settings" (func $settings (param i32)))
    (import "host" "put" (func $put (param i32 i32 i32 i32 i32 i32 i32 i64 i32)))
    (import "host" "reserve" (func $reserve (param i32 i32 i32)))
    (import "host" "commit" (func $commit (param i32 i32 i32)))
    (import "host" "create" (func $create (param i32 i32 i32)))
    (import "host" "cast" (func $cast (param i32 i32 i32 i32 i32 i32 i32)))
    (data (i32.const 0) "{}")
    (data (i32.const 16) "work")
    (data (i32.const 32) "notes")
    (data (i32.const 48) "volumes")
    (data (i32.const 64) "scheduler")
    (data (i32.const 80) "made")

    (func $pair (param $at i32) (param $address i32) (param $length i32)
      (i32.store (local.get $at) (local.get $address))
      (i32.store offset=4 (local.get $at) (local.get $length)))

    ;; Traps if the result at this address is an error.
    (func $must (param $at i32)
      (if (i32.load8_u (local.get $at)) (then unreachable)))

    (func (export "settings-schema") (result i32)
      (call $pair (i32.const 1024) (i32.const 0) (i32.const 2))
      (i32.const 1024))

    (func (export "describe") (param i32 i32) (result i32)
      (call $pair (i32.const 1028) (i32.const 16) (i32.const 4)) ;; name
      (call $pair (i32.const 1036) (i32.const 1) (i32.const 0))  ;; version
      (i32.const 1024))

    (func (export "call") (param i32 i32) (result i32)
      ;; The key is the settings without `{"key":"` and `"}`.
      (call $settings (i32.const 2048))
      (call $put
        (i32.const 32) (i32.const 5)
        (i32.add (i32.load (i32.const 2048)) (i32.const 8)) (i32.sub (i32.load (i32.const 2052)) (i32.const 10))
        (i32.const 0) (i32.const 2) (i32.const 1) (i64.const 0) (i32.const 2064))
      (call $must (i32.const 2064))
      (call $pair (i32.const 2128) (i32.const 48) (i32.const 7))
      (i64.store (i32.const 2136) (i64.const 1))
      (call $reserve (i32.const 2128) (i32.const 1) (i32.const 2192))
      (call $must (i32.const 2192))
      ;; The commit books the volume.
      (call $create (i32.const 0) (i32.const 2) (i32.const 2320))
      (call $must (i32.const 2320))
      (call $commit (i32.load (i32.const 2196)) (i32.load (i32.const 2200)) (i32.const 2256))
      (call $must (i32.const 2256))
      (call $cast
        (i32.const 64) (i32.const 9) (i32.const 80) (i32.const 4) (i32.const 0) (i32.const 2) (i32.const 2384))
      (call $must (i32.const 2384))
      (call $pair (i32.const 1028) (i32.const 0) (i32.const 2))
      (i32.const 1024))

    ;; `undo`
    (func (export "revert") (param i32) (result i32) (i32.const 3072)))

  (core instance $guest (instantiate $guest (with "host" (instance
    (export "memory" (memory $mem))
    (export "settings" (func $settings))
    (export "put" (func $put))
    (export "reserve" (func $reserve))
    (export "commit" (func $commit))
    (export "create" (func $create))
    (export "cast" (func $cast))))))

  ;; The exports: the types of the contract, and the functions that use them.
  (type $descriptor-type (record
    (field "name" string) (field "version" (tuple u32 u32))
    (field "requires" (list string)) (field "optional" (list string)) (field "provides" (list string))))
  (type $outcome-type (variant (case "completed" string) (case "failed" $error-type) (case "interrupted")))
  (type $failure-type (record (field "task" string) (field "error" $error-type)))
  (type $disposition-type (enum "undo" "keep"))
  (func $settings-schema (result string)
    (canon lift (core func $guest "settings-schema") (memory $mem)))
  (func $describe (param "settings" string) (result (result $descriptor-type (error $error-type)))
    (canon lift (core func $guest "describe") (memory $mem) (realloc $realloc)))
  (func $call (param "inputs" string) (result (result string (error $error-type)))
    (canon lift (core func $guest "call") (memory $mem) (realloc $realloc)))
  (func $revert (param "outcome" $outcome-type) (param "cause" $failure-type)
    (result (result $disposition-type (error $error-type)))
    (canon lift (core func $guest "revert") (memory $mem) (realloc $realloc)))

  (component $plugin
    (type $error-type (record (field "kind" string) (field "message" string) (field "details" (option string))))
    (type $descriptor-type (record
      (field "name" string) (field "version" (tuple u32 u32))
      (field "requires" (list string)) (field "optional" (list string)) (field "provides" (list string))))
    (import "error" (type $error (eq $error-type)))
    (import "descriptor" (type $descriptor (eq $descriptor-type)))
    (import "settings-schema" (func $settings-schema (result string)))
    (import "describe" (func $describe (param "settings" string) (result (result $descriptor (error $error)))))
    (export $out-error "error" (type $error))
    (export $out-descriptor "descriptor" (type $descriptor))
    (export "settings-schema" (func $settings-schema))
    (export "describe" (func $describe)
      (func (param "settings" string) (result (result $out-descriptor (error $out-error))))))
  (instance $plugin (instantiate $plugin
    (with "error" (type $error-type))
    (with "descriptor" (type $descriptor-type))
    (with "settings-schema" (func $settings-schema))
    (with "describe" (func $describe))))
  (export "cairn:plugin/plugin@0.1.0" (instance $plugin))

  (component $task
    (type $error-type (record (field "kind" string) (field "message" string) (field "details" (option string))))
    (import "error" (type $error (eq $error-type)))
    (type $outcome-type (variant (case "completed" string) (case "failed" $error) (case "interrupted")))
    (import "outcome" (type $outcome (eq $outcome-type)))
    (type $failure-type (record (field "task" string) (field "error" $error)))
    (import "failure" (type $failure (eq $failure-type)))
    (type $disposition-type (enum "undo" "keep"))
    (import "disposition" (type $disposition (eq $disposition-type)))
    (import "call" (func $call (param "inputs" string) (result (result string (error $error)))))
    (import "revert" (func $revert
      (param "outcome" $outcome) (param "cause" $failure) (result (result $disposition (error $error)))))
    (export $out-error "error" (type $error))
    (type $out-outcome-type (variant (case "completed" string) (case "failed" $out-error) (case "interrupted")))
    (export $out-outcome "outcome" (type $out-outcome-type))
    (type $out-failure-type (record (field "task" string) (field "error" $out-error)))
    (export $out-failure "failure" (type $out-failure-type))
    (export $out-disposition "disposition" (type $disposition))
    (export "call" (func $call) (func (param "inputs" string) (result (result string (error $out-error)))))
    (export "revert" (func $revert) (func
      (param "outcome" $out-outcome) (param "cause" $out-failure)
      (result (result $out-disposition (error $out-error))))))
  (instance $task (instantiate $task
    (with "error" (type $error-type))
    (with "outcome" (type $outcome-type))
    (with "failure" (type $failure-type))
    (with "disposition" (type $disposition-type))
    (with "call" (func $call))
    (with "revert" (func $revert))))
  (export "cairn:plugin/task@0.1.0" (instance $task)))
