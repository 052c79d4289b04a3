;; Imports an interface of a newer, unknown contract.
(component
  (import "cairn:plugin/quota@0.2.0" (instance))
  (instance $empty)
  (export "cairn:plugin/plugin@0.1.0" (instance $empty))
  (export "cairn:plugin/task@0.1.0" (instance $empty)))
