;; Creates a volume whose metadata is 50 MB of JSON.
(import "cairn:plugin/volumes@0.1.0" "create" (func $create (param i32 i32 i32)))
(data (i32.const 4096) "{\22metadata\22:{\22a\22:\22")
(func (export "call") (param i32 i32) (result i32)
  (drop (memory.grow (i32.const 800)))
  (memory.copy (i32.const 65536) (i32.const 4096) (i32.const 18))
  (memory.fill (i32.const 65554) (i32.const 97) (i32.const 50000000))
  (i32.store (i32.const 50065554) (i32.const 0x7d7d22)) ;; `"}}`
  (call $create (i32.const 65536) (i32.const 50000021) (i32.const 8192))
  (call $behaves))
