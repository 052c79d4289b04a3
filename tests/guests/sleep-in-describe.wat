;; Sleeps for an hour in `describe`.
(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $subscribe (param i64) (result i32)))
(import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
(func (export "describe") (param i32 i32) (result i32)
  (call $block (call $subscribe (i64.const 3600000000000)))
  (call $describes (i32.const 0) (i32.const 1)))
