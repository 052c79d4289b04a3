(component
  ;; A policy and a validator in one. The tests replace the bodies of `check` and `validate` between the markers.
  (import "cairn:plugin/log@0.1.0" (instance $log
    (type $levels (enum "error" "warn" "info" "debug"))
    (export "level" (type $level (eq $levels)))
    (export "write" (func (param "level" $level) (param "message" string)))))

  (core module $ground
    (memory (export "memory") 2)
    (global $free (mut i32) (i32.const 65536))
    ;; A bump allocator over the rest of the memory; an instance lives for one call.
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      (global.set $free (i32.add (local.get $at) (local.get 3)))
      (local.get $at)))
  (core instance $ground (instantiate $ground))
  (alias core export $ground "memory" (core memory $mem))
  (alias core export $ground "realloc" (core func $realloc))
  (core func $write (canon lower (func $log "write") (memory $mem)))

  (core module $guest
    (import "ground" "memory" (memory 2))
    (import "log" "write" (func $write (param i32 i32 i32)))
    (data (i32.const 0) "{}")
    (data (i32.const 16) "check-guest")
    (data (i32.const 32) "was asked")
    (data (i32.const 48) "closed at night")
    (data (i32.const 80) "Broken")
    (data (i32.const 96) "/size")
    (data (i32.const 112) "/name")
    (data (i32.const 128) "SizeOdd")
    (data (i32.const 144) "is wrong")

    (func $pair (param $at i32) (param $address i32) (param $length i32)
      (i32.store (local.get $at) (local.get $address))
      (i32.store offset=4 (local.get $at) (local.get $length)))

    ;; Returns an error: discriminant 1, kind, message, no details.
    (func $fail (result i32)
      (i32.store8 (i32.const 1024) (i32.const 1))
      (call $pair (i32.const 1028) (i32.const 80) (i32.const 6))
      (call $pair (i32.const 1036) (i32.const 144) (i32.const 8))
      (i32.const 1024))

    (func $deny (result i32)
      (i32.store8 (i32.const 1028) (i32.const 1))
      (call $pair (i32.const 1032) (i32.const 48) (i32.const 15))
      (i32.const 1024))

    ;; Violation number $index: pointer, kind, message.
    (func $violation (param $index i32) (param $pointer i32) (param $kind i32) (param $kind-length i32)
      (local $at i32)
      (local.set $at (i32.add (i32.const 2048) (i32.mul (local.get $index) (i32.const 24))))
      (call $pair (local.get $at) (local.get $pointer) (i32.const 5))
      (call $pair (i32.add (local.get $at) (i32.const 8)) (local.get $kind) (local.get $kind-length))
      (call $pair (i32.add (local.get $at) (i32.const 16)) (i32.const 144) (i32.const 8)))

    (func $three (result i32)
      (call $violation (i32.const 0) (i32.const 96) (i32.const 128) (i32.const 7))
      (call $violation (i32.const 1) (i32.const 96) (i32.const 80) (i32.const 6))
      (call $violation (i32.const 2) (i32.const 112) (i32.const 80) (i32.const 6))
      (call $pair (i32.const 1028) (i32.const 2048) (i32.const 3))
      (i32.const 1024))

    (func (export "settings-schema") (result i32)
      (call $pair (i32.const 1024) (i32.const 0) (i32.const 2))
      (i32.const 1024))

    (func (export "describe") (param i32 i32) (result i32)
      (call $pair (i32.const 1028) (i32.const 16) (i32.const 11)) ;; name
      (call $pair (i32.const 1036) (i32.const 1) (i32.const 0))   ;; version
      (i32.const 1024))

    (func (export "check") (param i32 i32 i32 i32) (result i32)
      (call $write (i32.const 2) (i32.const 32) (i32.const 9))
      ;; <check>
      (i32.const 1024)
      ;; </check>
    )

    (func (export "validate") (param i32 i32) (result i32)
      ;; <validate>
      (i32.const 1024)
      ;; </validate>
    ))

  (core instance $guest (instantiate $guest
    (with "ground" (instance $ground))
    (with "log" (instance (export "write" (func $write))))))

  ;; The exports: the types of the contract, and the functions that use them.
  (type $error-type (record (field "kind" string) (field "message" string) (field "details" (option string))))
  (type $descriptor-type (record
    (field "name" string) (field "version" (tuple u32 u32))
    (field "requires" (list string)) (field "optional" (list string)) (field "provides" (list string))))
  (type $decision-type (variant (case "allow") (case "deny" string)))
  (type $violation-type (record (field "pointer" string) (field "kind" string) (field "message" string)))

  (func $settings-schema (result string)
    (canon lift (core func $guest "settings-schema") (memory $mem)))
  (func $describe (param "settings" string) (result (result $descriptor-type (error $error-type)))
    (canon lift (core func $guest "describe") (memory $mem) (realloc $realloc)))
  (func $check (param "action" string) (param "target" string) (result (result $decision-type (error $error-type)))
    (canon lift (core func $guest "check") (memory $mem) (realloc $realloc)))
  (func $validate (param "inputs" string) (result (result (list $violation-type) (error $error-type)))
    (canon lift (core func $guest "validate") (memory $mem) (realloc $realloc)))

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

  (component $policy
    (type $error-type (record (field "kind" string) (field "message" string) (field "details" (option string))))
    (type $decision-type (variant (case "allow") (case "deny" string)))
    (import "error" (type $error (eq $error-type)))
    (import "decision" (type $decision (eq $decision-type)))
    (import "check" (func $check
      (param "action" string) (param "target" string) (result (result $decision (error $error)))))
    (export $out-error "error" (type $error))
    (export $out-decision "decision" (type $decision))
    (export "check" (func $check) (func
      (param "action" string) (param "target" string) (result (result $out-decision (error $out-error))))))
  (instance $policy (instantiate $policy
    (with "error" (type $error-type))
    (with "decision" (type $decision-type))
    (with "check" (func $check))))
  (export "cairn:plugin/policy-check@0.1.0" (instance $policy))

  (component $validator
    (type $error-type (record (field "kind" string) (field "message" string) (field "details" (option string))))
    (type $violation-type (record (field "pointer" string) (field "kind" string) (field "message" string)))
    (import "error" (type $error (eq $error-type)))
    (import "violation" (type $violation (eq $violation-type)))
    (import "validate" (func $validate
      (param "inputs" string) (result (result (list $violation) (error $error)))))
    (export $out-error "error" (type $error))
    (export $out-violation "violation" (type $violation))
    (export "validate" (func $validate) (func
      (param "inputs" string) (result (result (list $out-violation) (error $out-error))))))
  (instance $validator (instantiate $validator
    (with "error" (type $error-type))
    (with "violation" (type $violation-type))
    (with "validate" (func $validate))))
  (export "cairn:plugin/validator@0.1.0" (instance $validator)))
