;; Fails with its own kind if it can start a connection to 127.0.0.1:22.
(import "wasi:sockets/instance-network@0.2.0" "instance-network" (func $network (result i32)))
(import "wasi:sockets/tcp-create-socket@0.2.0" "create-tcp-socket" (func $socket (param i32 i32)))
(import "wasi:sockets/tcp@0.2.0" "[method]tcp-socket.start-connect"
  (func $connect (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
(data (i32.const 4096) "SawTheOutside")
(func (export "call") (param i32 i32) (result i32)
  (call $socket (i32.const 0) (i32.const 4160))
  (if (i32.eqz (i32.load8_u (i32.const 4160))) (then
    (call $connect (i32.load (i32.const 4164)) (call $network)
      (i32.const 0) (i32.const 22) (i32.const 127) (i32.const 0) (i32.const 0) (i32.const 1)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
      (i32.const 4176))
    (if (i32.eqz (i32.load8_u (i32.const 4176))) (then (return (call $errs (i32.const 4096) (i32.const 13)))))))
  (call $behaves))
