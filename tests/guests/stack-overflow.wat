;; Recurses without end.
(func $down (param i64 i64 i64 i64) (result i64)
  (i64.add (i64.const 1) (call $down (local.get 3) (local.get 0) (local.get 1) (local.get 2))))
(func (export "call") (param i32 i32) (result i32)
  (drop (call $down (i64.const 0) (i64.const 1) (i64.const 2) (i64.const 3)))
  (call $behaves))
