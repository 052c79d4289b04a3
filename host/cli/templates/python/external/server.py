"""A server of cards to try the plugin with. It keeps them in memory.

`PUT /cards/NAME` keeps the request's body, `GET /cards/NAME` returns it, `DELETE /cards/NAME` drops it, and `GET /cards` returns the names as a
JSON array. Arguments: the address, 127.0.0.1:8765 by default.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CARDS = {}


class Cards(BaseHTTPRequestHandler):
    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while length := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(length))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def answer(self, contents):
        self.send_response(404 if contents is None else 200)
        self.send_header("Content-Length", str(len(contents or b"")))
        self.end_headers()
        self.wfile.write(contents or b"")

    def do_GET(self):
        self.answer(json.dumps(list(CARDS)).encode() if self.path == "/cards" else CARDS.get(self.name()))

    def do_PUT(self):
        CARDS[self.name()] = self.body()
        self.answer(b"")

    def do_DELETE(self):
        self.answer(CARDS.pop(self.name(), None))

    def name(self):
        return self.path.removeprefix("/cards/")


host, port = (sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8765").split(":")
server = ThreadingHTTPServer((host, int(port)), Cards)
print("http://{}:{}".format(*server.server_address), flush=True)
server.serve_forever()
