;; Loops when its result has been read and it may clean up.
(func (export "cabi_post_call") (param i32) (loop $again (br $again)))
