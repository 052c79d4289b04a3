;; Traps during instantiation.
(func $stumbles unreachable)
(start $stumbles)
