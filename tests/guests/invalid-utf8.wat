;; Returns text that is not UTF-8.
(data (i32.const 4096) "{\22text\22:\22\ff\fe\22}")
(func (export "call") (param i32 i32) (result i32) (call $gives (i32.const 4096) (i32.const 13)))
