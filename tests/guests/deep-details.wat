;; Fails, with details that are lists nested 100,000 deep.
(func (export "call") (param i32 i32) (result i32)
  (drop (memory.grow (i32.const 8)))
  (memory.fill (i32.const 65536) (i32.const 91) (i32.const 100000))
  (memory.fill (i32.const 165536) (i32.const 93) (i32.const 100000))
  (drop (call $errs (i32.const 16) (i32.const 5)))
  (i32.store8 (i32.const 1044) (i32.const 1))
  (call $pair (i32.const 1048) (i32.const 65536) (i32.const 200000))
  (i32.const 1024))
