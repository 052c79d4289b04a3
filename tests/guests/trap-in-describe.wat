;; Traps in `describe`.
(func (export "describe") (param i32 i32) (result i32) unreachable)
