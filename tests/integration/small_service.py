"""A program with a service's health answers; /hang makes /livez fail from then on."""

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STATE = {"/livez": 200, "/readyz": 503 if os.environ.get("NEVER_READY") == sys.argv[1] else 200, "/hang": 200}


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(STATE.get(self.path, 404))
        self.end_headers()
        if self.path == "/hang":
            STATE["/livez"] = 503


ThreadingHTTPServer(("127.0.0.1", int(os.environ["LINEPOOL_HTTP_PORT"])), Health).serve_forever()
