;; Fails with a kind that is reserved to the host.
(data (i32.const 4096) "DeadlineExceeded")
(func (export "call") (param i32 i32) (result i32) (call $errs (i32.const 4096) (i32.const 16)))
