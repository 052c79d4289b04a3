;; Calls a host function a million times.
(import "cairn:plugin/context@0.1.0" "quota-committed" (func $committed (result i32)))
(func (export "call") (param i32 i32) (result i32)
  (local $left i32)
  (local.set $left (i32.const 1000000))
  (loop $again
    (drop (call $committed))
    (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
  (call $behaves))
