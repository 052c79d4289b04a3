;; Prints 4 KiB at a time in an endless loop, ignoring errors.
(import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
(import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
  (func $write (param i32 i32 i32 i32)))
(func (export "call") (param i32 i32) (result i32)
  (local $out i32)
  (memory.fill (i32.const 65536) (i32.const 97) (i32.const 4096))
  (local.set $out (call $stdout))
  (loop $again
    (call $write (local.get $out) (i32.const 65536) (i32.const 4096) (i32.const 4096))
    (br $again))
  unreachable)
