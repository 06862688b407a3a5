# SPDX-License-Identifier: GPL-2.0-or-later
"""A mailing list's archive in small, on this machine."""

from __future__ import annotations

import gzip
import http.server
import time


class Archive(http.server.ThreadingHTTPServer):
    """A public-inbox in small: one thread; `delay` is in seconds."""

    thread = b""
    delay = 0.0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/all"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Archive

    def do_GET(self) -> None:
        time.sleep(self.server.delay)
        if not self.path.endswith("/t.mbox.gz") or not self.server.thread:
            self.send_error(404)
            return
        body = gzip.compress(self.server.thread)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass
