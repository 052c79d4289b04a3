;; Wants a table of ten million entries before it does anything.
(table $table 10000000 funcref)
