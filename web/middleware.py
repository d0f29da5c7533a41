"""The handling that every request and response shares: refused uploads, compression, headers.

A server that responds and closes while a browser or proxy is still sending shows as "connection reset" or
as a 502 from nginx. So the rest of a refused upload is read and dropped, within bounds, before the response goes out.
"""

import gzip
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from functools import lru_cache
from typing import IO, TYPE_CHECKING

from flask import Flask, Response, request
from werkzeug.exceptions import ClientDisconnected
from werkzeug.wsgi import get_input_stream

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CHUNK = 2**20


class Body:
    """The server's stream of the request body. Its errors are the sender's fault and become a 400."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read(size)
        except Exception as exc:  # servers have their own errors for bad chunks, stalls and broken connections
            raise ClientDisconnected from exc


class Hourglass:
    """Ends reads from connections that last too long, from one thread: one for each would cost more than the read."""

    def __init__(self, max_s: float) -> None:
        self._max_s = max_s
        self._ends: dict[socket.socket, float] = {}  # the soonest first
        self._started = threading.Condition()
        self._thread: threading.Thread | None = None

    @contextmanager
    def turned(self, connection: socket.socket) -> Iterator[None]:
        """End a read from the connection that still goes on after `max_s` seconds."""
        with self._started:
            self._ends[connection] = time.monotonic() + self._max_s
            self._started.notify()
            if not self._thread:
                self._thread = threading.Thread(target=self._watch, name="hourglass", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._started:
                self._ends.pop(connection, None)

    def _watch(self) -> None:
        while True:
            with self._started:
                self._started.wait_for(lambda: self._ends)
                connection, end = next(iter(self._ends.items()))
                if is_over := end <= time.monotonic():
                    del self._ends[connection]
                    stop_reading(connection)
            if not is_over:
                time.sleep(max(0, end - time.monotonic()))


class DrainUploads:
    """WSGI middleware that reads and drops the rest of a body, at most `max_bytes` and for at most `max_s` seconds.

    Under gunicorn, a sender that stalls for `max_s` while the app reads also loses its connection, and so does a client
    that takes longer than `max_unread_s` to read a part of its answer.
    """

    def __init__(
        self, app: "WSGIApplication", max_bytes: int = 2**29, max_s: float = 10, max_unread_s: float = 300
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_s = max_s
        self._hourglass = Hourglass(max_s)
        self._max_unread_s = max_unread_s

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        connection: socket.socket | None = environ.get("gunicorn.socket")
        if connection:
            connection.settimeout(self._max_s)
        # The app and the drain after it share one stream, which ends where the body ends.
        environ["wsgi.input"] = Body(environ["wsgi.input"])
        body = environ["wsgi.input"] = get_input_stream(environ)
        environ["wsgi.input_terminated"] = True
        response = self._app(environ, start_response)
        with suppress(ClientDisconnected):
            self._drain(body, connection)
        if connection:
            connection.settimeout(self._max_unread_s)
        return response

    def _drain(self, body: IO[bytes], connection: socket.socket | None) -> None:
        if not body.read(1):
            return
        with self._hourglass.turned(connection) if connection else nullcontext():
            left = self._max_bytes - 1
            while left > 0 and (chunk := body.read(min(CHUNK, left))):
                left -= len(chunk)


def stop_reading(connection: socket.socket) -> None:
    """End a read that another thread is blocked in. The connection can still send."""
    with suppress(OSError):  # the sender may have closed it already
        connection.shutdown(socket.SHUT_RD)


TEXT = ("text/css", "text/javascript", "application/javascript", "image/svg+xml")


def compressed(response: Response) -> Response:
    """Return the response, compressed with gzip if it is a static text file and the client accepts gzip."""
    if not (request.endpoint or "").endswith("static") or response.mimetype not in TEXT:
        return response
    response.vary.add("Accept-Encoding")
    if response.status_code == 200 and request.accept_encodings["gzip"]:
        response.direct_passthrough = False
        with closing(response.response):  # type: ignore[type-var]  # the file, now and not when the client has read
            response.set_data(gzipped(response.get_data()))
        response.content_encoding = "gzip"
        response.set_etag(response.get_etag()[0] or "", weak=True)  # the same content, not the same bytes
    return response


@lru_cache(maxsize=32)
def gzipped(data: bytes) -> bytes:
    """Return `data` compressed. The cache compresses each static file once."""
    return gzip.compress(data, mtime=0)


SECURITY_HEADERS = {
    # data: is for Bootstrap's small icons and for pictures that are not kept.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


def with_common_headers(response: Response) -> Response:
    response.headers.update(SECURITY_HEADERS)
    response.vary.add("Accept")
    return response


def add_middleware(app: Flask, max_upload_mb: int) -> None:
    """Bound and drain the bodies of all requests to `app`, and complete all its responses."""
    app.config["MAX_CONTENT_LENGTH"] = max_upload_mb * 2**20
    app.wsgi_app = DrainUploads(app.wsgi_app)  # type: ignore[method-assign]
    app.after_request(with_common_headers)
    app.after_request(compressed)
