(component
  ;; Replaces `volume-cast`: sends its message, and then fails. The message is an effect of a failed call, so the host
  ;; must undo it.
  (type $cast-error (record (field "kind" string) (field "message" string) (field "details" (option string))))
  (import "cairn:plugin/rpc@0.1.0" (instance $rpc
    (export "error" (type $error (eq $cast-error)))
    (export "cast" (func
      (param "topic" string) (param "method" string) (param "arguments" string)
      (result (result (error $error)))))))

  ;; Memory and the allocator are in their own module, because the import needs them first.
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
  (alias export $rpc "cast" (func $cast))
  (core func $cast (canon lower (func $cast) (memory $mem) (realloc $realloc)))

  (core module $guest
    (import "host" "memory" (memory 0))
    (import "host" "cast" (func $cast (param i32 i32 i32 i32 i32 i32 i32)))
    (data (i32.const 0) "{}")
    (data (i32.const 16) "cast-fails")
    (data (i32.const 32) "image_id")
    (data (i32.const 48) "scheduler_hints")
    (data (i32.const 64) "snapshot_id")
    (data (i32.const 80) "source_volid")
    (data (i32.const 96) "volume_id")
    (data (i32.const 112) "volume_type")
    (data (i32.const 128) "volume_properties")
    (data (i32.const 160) "CastFailed")
    (data (i32.const 176) "nobody listens at the scheduler's topic")
    (data (i32.const 240) "cinder-scheduler")
    (data (i32.const 256) "create_volume")
    ;; The required inputs, pairs of address and length.
    (data (i32.const 512)
      "\20\00\00\00\08\00\00\00" "\30\00\00\00\0f\00\00\00" "\40\00\00\00\0b\00\00\00" "\50\00\00\00\0c\00\00\00"
      "\60\00\00\00\09\00\00\00" "\70\00\00\00\0b\00\00\00" "\80\00\00\00\11\00\00\00")

    (func $pair (param $at i32) (param $address i32) (param $length i32)
      (i32.store (local.get $at) (local.get $address))
      (i32.store offset=4 (local.get $at) (local.get $length)))

    (func (export "settings-schema") (result i32)
      (call $pair (i32.const 1024) (i32.const 0) (i32.const 2))
      (i32.const 1024))

    (func (export "describe") (param i32 i32) (result i32)
      (call $pair (i32.const 1028) (i32.const 16) (i32.const 10)) ;; name
      (call $pair (i32.const 1036) (i32.const 1) (i32.const 0))   ;; version
      (call $pair (i32.const 1044) (i32.const 512) (i32.const 7)) ;; requires
      (i32.const 1024))

    (func (export "call") (param i32 i32) (result i32)
      (call $cast
        (i32.const 240) (i32.const 16) (i32.const 256) (i32.const 13) (i32.const 0) (i32.const 2) (i32.const 2048))
      (i32.store8 (i32.const 1024) (i32.const 1))                   ;; an error
      (call $pair (i32.const 1028) (i32.const 160) (i32.const 10))  ;; kind
      (call $pair (i32.const 1036) (i32.const 176) (i32.const 39))  ;; message
      (i32.const 1024))

    ;; `undo`
    (func (export "revert") (param i32) (result i32) (i32.const 1024)))

  (core instance $guest (instantiate $guest (with "host" (instance
    (export "memory" (memory $mem))
    (export "cast" (func $cast))))))

  ;; The exports: the types of the contract, and the functions that use them.
  (type $error-type (record (field "kind" string) (field "message" string) (field "details" (option string))))
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
