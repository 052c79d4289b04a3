;; Creates pollables in a loop and releases none.
(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $subscribe (param i64) (result i32)))
(func (export "call") (param i32 i32) (result i32)
  (loop $again
    (drop (call $subscribe (i64.const 3600000000000)))
    (br $again))
  unreachable)
