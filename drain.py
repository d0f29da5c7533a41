"""Read a refused upload to its end, so that the sender gets to read the refusal.

A server that answers and closes while a browser or proxy is still sending shows as "connection reset" or
as nginx' 502. So what the app left unread is read and dropped, within bounds, before the answer goes out.
"""

import time
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING

from werkzeug.exceptions import ClientDisconnected
from werkzeug.wsgi import get_input_stream

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CHUNK = 2**20


class Drain:
    """WSGI middleware: drops what `app` leaves unread, at most `max_bytes` of it and for `max_s` seconds."""

    def __init__(self, app: "WSGIApplication", max_bytes: int = 2**28, max_s: float = 10) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_s = max_s

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        # One stream, ending where the body ends, that the app and the drain after it share.
        body = environ["wsgi.input"] = get_input_stream(environ)
        environ["wsgi.input_terminated"] = True
        answer = self._app(environ, start_response)
        self._drain(body)
        return answer

    def _drain(self, body: IO[bytes]) -> None:
        left, deadline = self._max_bytes, time.monotonic() + self._max_s
        try:
            while left > 0 and time.monotonic() < deadline and (chunk := body.read(min(CHUNK, left))):
                left -= len(chunk)
        except (OSError, ValueError, ClientDisconnected):
            pass  # the sender is gone, or sent nonsense; the answer stands
