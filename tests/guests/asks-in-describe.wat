;; Creates a volume in `describe`.
(import "cairn:plugin/volumes@0.1.0" "create" (func $create (param i32 i32 i32)))
(func (export "describe") (param i32 i32) (result i32)
  (call $create (i32.const 0) (i32.const 2) (i32.const 4096))
  (call $describes (i32.const 0) (i32.const 1)))
