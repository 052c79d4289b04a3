;; Wants 256 MiB before it does anything.
(memory (export "memory") 4096)
