;; Returns text that is not JSON.
(data (i32.const 4096) "no JSON")
(func (export "call") (param i32 i32) (result i32) (call $gives (i32.const 4096) (i32.const 7)))
