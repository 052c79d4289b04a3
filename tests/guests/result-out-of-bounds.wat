;; Returns an address outside of its memory.
(func (export "call") (param i32 i32) (result i32) (call $gives (i32.const 0x7fffff00) (i32.const 4096)))
