;; Exports the interfaces without any function.
(component
  (instance $empty)
  (export "cairn:plugin/plugin@0.1.0" (instance $empty))
  (export "cairn:plugin/task@0.1.0" (instance $empty)))
