"""A host of weights on this machine, which can be slow, break off, or send damaged files."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HALF = 2  # the part after which a held or broken response stops


class WeightsServer(ThreadingHTTPServer):
    """Serves `content` under every path and records the Range of each request ("" if it has none)."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.ranges: list[str] = []
        self.knows_ranges = True
        self.breaks = 0  # how many responses break off after half of what was asked for
        self.damages = 0  # how many have a wrong byte
        self.go_on = threading.Event()  # a response waits for it after its first half
        self.go_on.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    server: WeightsServer

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.server.ranges.append(wanted)
        start = int(re.findall(r"\d+", wanted)[0]) if wanted and self.server.knows_ranges else 0
        body = self.server.content[start:]
        if start and not body:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.send(self.damaged(body))

    def damaged(self, body: bytes) -> bytes:
        if not self.server.damages:
            return body
        self.server.damages -= 1
        return bytes([body[0] ^ 1]) + body[1:]

    def send(self, body: bytes) -> None:
        half = len(body) // HALF
        self.wfile.write(body[:half])
        self.wfile.flush()
        if self.server.breaks:
            self.server.breaks -= 1
            return
        self.server.go_on.wait()
        self.wfile.write(body[half:])

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def weights_server(content: bytes) -> Iterator[WeightsServer]:
    with WeightsServer(content) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.go_on.set()
        server.shutdown()
        thread.join()
