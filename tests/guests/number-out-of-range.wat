;; Returns a number outside the range of a double.
(data (i32.const 4096) "{\22text\22:1e999}")
(func (export "call") (param i32 i32) (result i32) (call $gives (i32.const 4096) (i32.const 14)))
