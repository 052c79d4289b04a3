;; Loops in its revert.
(func (export "revert") (param i32) (result i32) (loop $again (br $again)) unreachable)
