;; Traps before there is an instance.
(func $stumbles unreachable)
(start $stumbles)
