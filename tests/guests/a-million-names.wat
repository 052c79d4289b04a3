;; Provides a million names.
(func (export "describe") (param i32 i32) (result i32)
  (drop (memory.grow (i32.const 130)))
  (drop (call $describes (i32.const 0) (i32.const 1)))
  (call $pair (i32.const 1060) (i32.const 65536) (i32.const 1000000))
  (i32.const 1024))
