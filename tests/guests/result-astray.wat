;; Returns a misaligned address of its result.
(func (export "call") (param i32 i32) (result i32) (i32.const 1025))
