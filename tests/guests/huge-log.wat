;; Writes a hundred log entries of 1 MiB.
(import "cairn:plugin/log@0.1.0" "write" (func $write (param i32 i32 i32)))
(func (export "call") (param i32 i32) (result i32)
  (local $left i32)
  (drop (memory.grow (i32.const 16)))
  (memory.fill (i32.const 65536) (i32.const 97) (i32.const 0x100000))
  (local.set $left (i32.const 100))
  (loop $again
    (call $write (i32.const 2) (i32.const 65536) (i32.const 0x100000))
    (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
  (call $behaves))
