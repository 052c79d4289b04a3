;; Exports a task interface of a newer, unknown contract.
(component
  (instance $empty)
  (export "cairn:plugin/plugin@0.2.0" (instance $empty))
  (export "cairn:plugin/task@0.2.0" (instance $empty)))
