"""Static text goes out compressed to whoever can read that: Bootstrap's CSS then has a seventh of its size.

Flask-Compress (1.24) would do it anew at every request, for a part of a file (206) too, and leaves the files open.
"""

import gzip
from functools import lru_cache

from flask import Response, request

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
