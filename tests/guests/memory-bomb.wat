;; Grows its memory in a loop and touches all of it.
(func (export "call") (param i32 i32) (result i32)
  (local $at i32)
  (loop $again
    (local.set $at (memory.grow (i32.const 16)))
    (if (i32.eq (local.get $at) (i32.const -1)) (then unreachable))
    (memory.fill (i32.shl (local.get $at) (i32.const 16)) (i32.const 170) (i32.const 0x100000))
    (br $again))
  unreachable)
