;; Returns JSON followed by other text.
(data (i32.const 4096) "{\22text\22:1} and more")
(func (export "call") (param i32 i32) (result i32) (call $gives (i32.const 4096) (i32.const 19)))
