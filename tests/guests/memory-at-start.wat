;; Requires 256 MiB of initial memory.
(memory (export "memory") 4096)
