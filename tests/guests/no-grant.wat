;; Imports an interface without a grant.
(import "cairn:plugin/keys@0.1.0" "create" (func $create (param i32)))
(func (export "call") (param i32 i32) (result i32) (call $create (i32.const 4096)) (call $behaves))
