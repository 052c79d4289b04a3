;; Requires a table of ten million initial entries.
(table $table 10000000 funcref)
