;; Returns more names than it provides, including names that earlier tasks provided.
(data (i32.const 4096) "{\22text\22:1,\22size\22:-5,\22reservations\22:[]}")
(func (export "call") (param i32 i32) (result i32) (call $gives (i32.const 4096) (i32.const 38)))
