;; Imports `wasi:http`.
(component
  (import "wasi:http/outgoing-handler@0.2.0" (instance))
  (instance $empty)
  (export "cairn:plugin/plugin@0.1.0" (instance $empty))
  (export "cairn:plugin/task@0.1.0" (instance $empty)))
