;; Fails with a message of 50 MB.
(func (export "call") (param i32 i32) (result i32)
  (drop (memory.grow (i32.const 800)))
  (memory.fill (i32.const 65536) (i32.const 97) (i32.const 50000000))
  (drop (call $errs (i32.const 16) (i32.const 5)))
  (call $pair (i32.const 1036) (i32.const 65536) (i32.const 50000000))
  (i32.const 1024))
