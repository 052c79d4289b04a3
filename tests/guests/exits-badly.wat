;; Exits with a failure code.
(import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))
(func (export "call") (param i32 i32) (result i32) (call $exit (i32.const 1)) (call $behaves))
