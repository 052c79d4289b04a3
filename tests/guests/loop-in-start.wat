;; Never gets past its start function, so that no instance comes to be.
(func $forever (loop $again (br $again)))
(start $forever)
