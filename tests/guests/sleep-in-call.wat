;; Sleeps for an hour on a WASI clock.
(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $subscribe (param i64) (result i32)))
(import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
(func (export "call") (param i32 i32) (result i32)
  (call $block (call $subscribe (i64.const 3600000000000)))
  (call $behaves))
