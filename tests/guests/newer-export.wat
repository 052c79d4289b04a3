;; Is a task of a contract that is not there yet.
(component
  (instance $empty)
  (export "cairn:plugin/plugin@0.2.0" (instance $empty))
  (export "cairn:plugin/task@0.2.0" (instance $empty)))
