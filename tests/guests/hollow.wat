;; Exports the interfaces, and no function in them.
(component
  (instance $empty)
  (export "cairn:plugin/plugin@0.1.0" (instance $empty))
  (export "cairn:plugin/task@0.1.0" (instance $empty)))
