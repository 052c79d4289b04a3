;; Fails in every revert.
(data (i32.const 4096) "CannotGoBack")
(func (export "revert") (param i32) (result i32) (call $errs (i32.const 4096) (i32.const 12)))
