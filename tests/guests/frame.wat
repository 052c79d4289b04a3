;; The frame of a guest: the fields after each of the lines below are added to the guest's own; those after an `unless` only if the guest
;; exports nothing of that name. A guest's file contains fields of a core module: first its imports, by their names in WIT; then its
;; `settings-schema`, `describe`, `call` or `revert`. Its own data begins at 4096.

;; == always
(global $free (mut i32) (i32.const 65536))
(data (i32.const 0) "{}")
(data (i32.const 16) "guest")
(data (i32.const 32) "text")
(data (i32.const 48) "{\22text\22:\22here\22}")
;; The provided names, pairs of address and length.
(data (i32.const 512) "\20\00\00\00\04\00\00\00")

;; A bump allocator over the rest of the memory; an instance lives for one call.
(func $allocate (param $size i32) (result i32)
  (local $at i32)
  (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
  (global.set $free (i32.add (local.get $at) (local.get $size)))
  (local.get $at))

(func $pair (param $at i32) (param $address i32) (param $length i32)
  (i32.store (local.get $at) (local.get $address))
  (i32.store offset=4 (local.get $at) (local.get $length)))

;; Returns `ok` with this text.
(func $gives (param $address i32) (param $length i32) (result i32)
  (i32.store8 (i32.const 1024) (i32.const 0))
  (call $pair (i32.const 1028) (local.get $address) (local.get $length))
  (i32.const 1024))

;; Returns the expected result of `call`.
(func $behaves (result i32) (call $gives (i32.const 48) (i32.const 15)))

;; Returns `err` of this kind.
(func $errs (param $address i32) (param $length i32) (result i32)
  (i32.store8 (i32.const 1024) (i32.const 1))
  (call $pair (i32.const 1028) (local.get $address) (local.get $length))
  (call $pair (i32.const 1036) (i32.const 16) (i32.const 5)) ;; message
  (i32.store8 (i32.const 1044) (i32.const 0))                ;; no details
  (i32.const 1024))

;; Returns a descriptor: `guest`, version 1.minor, and this many provided names at 512.
(func $describes (param $minor i32) (param $provides i32) (result i32)
  (i32.store8 (i32.const 1024) (i32.const 0))
  (call $pair (i32.const 1028) (i32.const 16) (i32.const 5))
  (call $pair (i32.const 1036) (i32.const 1) (local.get $minor))
  (call $pair (i32.const 1044) (i32.const 0) (i32.const 0))
  (call $pair (i32.const 1052) (i32.const 0) (i32.const 0))
  (call $pair (i32.const 1060) (i32.const 512) (local.get $provides))
  (i32.const 1024))

;; == unless memory
(memory (export "memory") 16)

;; == unless cabi_realloc
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (call $allocate (local.get 3)))

;; == unless settings-schema
(func (export "settings-schema") (result i32)
  (call $pair (i32.const 1024) (i32.const 0) (i32.const 2))
  (i32.const 1024))

;; == unless describe
(func (export "describe") (param i32 i32) (result i32) (call $describes (i32.const 0) (i32.const 1)))

;; == unless call
(func (export "call") (param i32 i32) (result i32) (call $behaves))

;; == unless revert
;; `undo`
(func (export "revert") (param i32) (result i32)
  (i32.store (i32.const 1024) (i32.const 0))
  (i32.store (i32.const 1028) (i32.const 0))
  (i32.const 1024))
