"""Read a refused upload to its end, so that the sender gets to read the refusal.

A server that answers and closes while a browser or proxy is still sending shows as "connection reset" or
as nginx' 502. So what the app left unread is read and dropped, within bounds, before the answer goes out.
"""

import gzip
import socket
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from io import BytesIO
from threading import Timer
from typing import IO, TYPE_CHECKING, Any

from flask import Request, Response, request
from werkzeug.exceptions import ClientDisconnected
from werkzeug.wsgi import get_input_stream

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CHUNK = 2**20


class Body:
    """The server's stream; whatever it raises is the sender's doing and becomes a 400."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read(size)
        except Exception as exc:  # servers have errors of their own for bad chunks, stalls and broken connections
            raise ClientDisconnected from exc


class DrainUploads:
    """WSGI middleware: drops what `app` leaves unread, at most `max_bytes` of it and for `max_s` seconds.

    Under gunicorn, a sender that stalls for `max_s` while the app reads is given up, too.
    """

    def __init__(self, app: "WSGIApplication", max_bytes: int = 2**28, max_s: float = 10) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_s = max_s

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        connection: socket.socket | None = environ.get("gunicorn.socket")
        before = connection.gettimeout() if connection else None
        if connection:
            connection.settimeout(self._max_s)
        # One stream, ending where the body ends, that the app and the drain after it share.
        environ["wsgi.input"] = Body(environ["wsgi.input"])
        body = environ["wsgi.input"] = get_input_stream(environ)
        environ["wsgi.input_terminated"] = True
        answer = self._app(environ, start_response)
        with suppress(ClientDisconnected):
            self._drain(body, connection)
        if connection:
            connection.settimeout(before)
        return answer

    def _drain(self, body: IO[bytes], connection: socket.socket | None) -> None:
        if not body.read(1):
            return
        timer = Timer(self._max_s, stop_reading, [connection])
        timer.start()
        left = self._max_bytes - 1
        try:
            while left > 0 and (chunk := body.read(min(CHUNK, left))):
                left -= len(chunk)
        finally:
            timer.cancel()


def stop_reading(connection: socket.socket | None) -> None:
    """End a read that another thread is blocked in; what we send still goes out."""
    with suppress(OSError):  # the sender may be gone already
        if connection:
            connection.shutdown(socket.SHUT_RD)


TEXT = ("text/css", "text/javascript", "application/javascript", "image/svg+xml")


def compressed(response: Response) -> Response:
    """The response to a request for a static file, as gzip where it is text and the client takes that."""
    if not (request.endpoint or "").endswith("static") or response.mimetype not in TEXT:
        return response
    response.vary.add("Accept-Encoding")
    if response.status_code == 200 and request.accept_encodings["gzip"]:
        response.direct_passthrough = False
        response.set_data(gzipped(response.get_data()))
        response.content_encoding = "gzip"
        response.set_etag(response.get_etag()[0] or "", weak=True)  # the same content, not the same bytes
    return response


@lru_cache(maxsize=32)
def gzipped(data: bytes) -> bytes:
    """Each file is compressed once; there are few."""
    return gzip.compress(data, mtime=0)


class InMemoryRequest(Request):
    """A request whose files stay in memory, which `MAX_UPLOAD_MB` bounds: only `KeptResults` writes to disk."""

    def _get_file_stream(self, *args: Any, **kwargs: Any) -> IO[bytes]:
        return BytesIO()


SECURITY_HEADERS = {
    # data: is for Bootstrap's small icons and for the preview of a picture that is not kept.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


def with_common_headers(response: Response) -> Response:
    response.headers.update(SECURITY_HEADERS)
    response.vary.add("Accept")
    return response
