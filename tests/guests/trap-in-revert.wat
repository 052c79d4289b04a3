;; Traps when it is to take back what it did.
(func (export "revert") (param i32) (result i32) unreachable)
