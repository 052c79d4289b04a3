;; Was built against a contract that is not there yet.
(component
  (import "cairn:plugin/quota@0.2.0" (instance))
  (instance $empty)
  (export "cairn:plugin/plugin@0.1.0" (instance $empty))
  (export "cairn:plugin/task@0.1.0" (instance $empty)))
