;; Divides by zero.
(func (export "call") (param i32 i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)) drop
  (i32.div_u (i32.const 1) (i32.const 0)))
