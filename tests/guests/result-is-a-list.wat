;; Returns a list instead of an object.
(data (i32.const 4096) "[1]")
(func (export "call") (param i32 i32) (result i32) (call $gives (i32.const 4096) (i32.const 3)))
