;; Traps in its revert.
(func (export "revert") (param i32) (result i32) unreachable)
