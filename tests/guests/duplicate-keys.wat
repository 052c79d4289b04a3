;; Returns an object that repeats a key.
(data (i32.const 4096) "{\22text\22:1,\22text\22:2}")
(func (export "call") (param i32 i32) (result i32) (call $gives (i32.const 4096) (i32.const 19)))
