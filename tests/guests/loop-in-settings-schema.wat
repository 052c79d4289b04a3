;; Loops in `settings-schema`.
(func (export "settings-schema") (result i32) (loop $again (br $again)) unreachable)
