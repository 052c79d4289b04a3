;; Loops in the cleanup function that runs after the host has read the result.
(func (export "cabi_post_call") (param i32) (loop $again (br $again)))
