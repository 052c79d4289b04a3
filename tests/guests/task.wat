(component
  ;; A task that provides `text`. The tests replace the body of `call` between the markers.
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $p (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $p))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $outer))
    (export "pollable" (type $p (eq $outer)))
    (export "now" (func (result u64)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
  (core func $now (canon lower (func $clock "now")))
  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (core func $block (canon lower (func $poll "[method]pollable.block")))

  (core module $guest
    (import "clock" "now" (func $now (result i64)))
    (import "clock" "subscribe" (func $subscribe (param i64) (result i32)))
    (import "poll" "block" (func $block (param i32)))
    (memory (export "memory") 2)
    (global $free (mut i32) (i32.const 65536))
    (data (i32.const 0) "{}")
    (data (i32.const 16) "guest")
    (data (i32.const 32) "text")
    (data (i32.const 48) "{\22text\22:\22here\22}")
    (data (i32.const 80) "no JSON")
    (data (i32.const 128) "{\22text\22:12345678901234567890123}")
    ;; The provided names, pairs of address and length.
    (data (i32.const 512) "\20\00\00\00\04\00\00\00")

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
      (call $pair (i32.const 1024) (i32.const 0) (i32.const 2))
      (i32.const 1024))

    (func (export "describe") (param i32 i32) (result i32)
      (call $pair (i32.const 1028) (i32.const 16) (i32.const 5))  ;; name
      (call $pair (i32.const 1036) (i32.const 1) (i32.const 0))   ;; version
      (call $pair (i32.const 1060) (i32.const 512) (i32.const 1)) ;; provides
      (i32.const 1024))

    (func $answer (param $address i32) (param $length i32) (result i32)
      (call $pair (i32.const 1028) (local.get $address) (local.get $length))
      (i32.const 1024))

    (func (export "call") (param i32 i32) (result i32)
      ;; <call>
      (call $answer (i32.const 48) (i32.const 15))
      ;; </call>
    )

    ;; `undo`
    (func (export "revert") (param i32) (result i32) (i32.const 1024)))

  (core instance $guest (instantiate $guest 
    (with "clock" (instance (export "now" (func $now)) (export "subscribe" (func $subscribe))))
    (with "poll" (instance (export "block" (func $block))))))
  (alias core export $guest "memory" (core memory $mem))
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
