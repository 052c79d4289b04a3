;; Creates volumes until its deadline.
(import "cairn:plugin/volumes@0.1.0" "create" (func $create (param i32 i32 i32)))
;; Every allocation reuses the same memory, so that the guest does not run out of it.
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
(func (export "call") (param i32 i32) (result i32)
  (loop $again
    (call $create (i32.const 0) (i32.const 2) (i32.const 4096))
    (br $again))
  unreachable)
