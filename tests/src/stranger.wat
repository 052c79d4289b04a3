(component
  ;; A third-party task. `stranger.rs` replaces the markers.
  (import "cairn:plugin/log@0.1.0" (instance $log
    (type $level-type (enum "error" "warn" "info" "debug"))
    (export "level" (type $level (eq $level-type)))
    (export "write" (func (param "level" $level) (param "message" string)))))
;; <imports>
  ;; The text that it logs is in a separate memory, because `log.write` must be lowered before the guest is
  ;; instantiated.
  (core module $memory
    (memory (export "memory") 2)
;; <data>
  )
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $mem))
  (core func $write (canon lower (func $log "write") (memory $mem)))

  (core module $guest
    (import "host" "memory" (memory 2))
    (import "host" "log" (func $log (param i32 i32 i32)))
    (global $free (mut i32) (i32.const 65536))

    ;; A bump allocator over the rest of the memory; an instance lives for one call.
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      (global.set $free (i32.add (local.get $at) (local.get 3)))
      (local.get $at))

    (func $pair (param $at i32) (param $address i32) (param $length i32)
      (i32.store (local.get $at) (local.get $address))
      (i32.store offset=4 (local.get $at) (local.get $length)))

    (func (export "settings-schema") (result i32)
      ;; <schema>
      (i32.const 1024))

    (func (export "describe") (param i32 i32) (result i32)
      ;; <descriptor>
      (i32.const 1024))

    (func (export "call") (param i32 i32) (result i32)
      ;; <result>
      (i32.const 1024))

    ;; `undo`
    (func (export "revert") (param i32) (result i32)
      ;; <says>
      (i32.const 1024)))

  (core instance $guest (instantiate $guest
    (with "host" (instance (export "memory" (memory $mem)) (export "log" (func $write))))))
  (alias core export $guest "realloc" (core func $realloc))

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
