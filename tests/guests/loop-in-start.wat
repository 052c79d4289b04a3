;; Loops in its start function, so that it is never instantiated.
(func $forever (loop $again (br $again)))
(start $forever)
