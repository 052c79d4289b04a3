;; Returns 100 MB.
(func (export "call") (param i32 i32) (result i32)
  (drop (memory.grow (i32.const 1600)))
  (memory.fill (i32.const 65536) (i32.const 97) (i32.const 100000000))
  (call $gives (i32.const 65536) (i32.const 100000000)))
