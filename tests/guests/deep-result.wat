;; Returns lists nested 100,000 deep.
(data (i32.const 4096) "{\22text\22:")
(func (export "call") (param i32 i32) (result i32)
  (drop (memory.grow (i32.const 8)))
  (memory.copy (i32.const 65536) (i32.const 4096) (i32.const 8))
  (memory.fill (i32.const 65544) (i32.const 91) (i32.const 100000))
  (memory.fill (i32.const 165544) (i32.const 93) (i32.const 100000))
  (i32.store8 (i32.const 265544) (i32.const 125))
  (call $gives (i32.const 65536) (i32.const 200009)))
