;; Returns an object without the name that it provides.
(data (i32.const 4096) "{}")
(func (export "call") (param i32 i32) (result i32) (call $gives (i32.const 4096) (i32.const 2)))
