;; Fails with its own kind if it has access to a folder.
(import "wasi:filesystem/preopens@0.2.0" "get-directories" (func $folders (param i32)))
(data (i32.const 4096) "SawTheOutside")
(func (export "call") (param i32 i32) (result i32)
  (call $folders (i32.const 4160))
  (if (i32.load (i32.const 4164)) (then (return (call $errs (i32.const 4096) (i32.const 13)))))
  (call $behaves))
