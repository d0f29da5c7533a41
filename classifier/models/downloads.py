"""Downloads of weights: resumed where they stopped, checked by their digest, given up soon if the host is silent."""

import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import IO, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, Request, build_opener

from classifier.atomic import locked
from classifier.contract import Note
from classifier.errors import NotDownloaded
from classifier.progress import downloading
from classifier.text import one_line

CONNECT_S = 3.0  # to each address of a host
SILENCE_S = 10.0  # until a host has answered, however many addresses it has, and between two bytes
ATTEMPTS = 2  # to get an undamaged file
CHUNK = 2**20

WAYS_OUT = (
    "Ways out: let this machine reach the internet once and use the weights imagenet; or name a file that fits; "
    "or try it with random, whose answers have no meaning (CLASSIFIER_WEIGHTS for the site, --weights for training)."
)


class RemoteFile(NamedTuple):
    """The weights of the model `title`: their address, their place here, and their MD5 or SHA-256 ("" if unknown)."""

    title: str
    url: str
    path: Path
    digest: str

    def is_here(self) -> bool:
        return self.path.is_file() and self.is_intact(self.path)

    def is_intact(self, path: Path) -> bool:
        """Return False if the content of `path` has another digest."""
        algorithm = "sha256" if len(self.digest) == 64 else "md5"
        with path.open("rb") as file:
            return not self.digest or hashlib.file_digest(file, algorithm).hexdigest() == self.digest


class NotCached(NotDownloaded):
    """Weights that have to be downloaded first, which nobody has tried."""

    def __init__(self, file: RemoteFile) -> None:
        super().__init__(f"The weights of {file.title} are not at {file.path}. {WAYS_OUT}")
        self.file = file

    def __reduce__(self) -> tuple[type, tuple[RemoteFile]]:
        return type(self), (self.file,)


def refuse(file: RemoteFile) -> None:
    """Raise NotCached."""
    raise NotCached(file)


def obtain(file: RemoteFile) -> None:
    """Download a file, with a progress bar on a terminal. Raises NotDownloaded."""
    try:
        with downloading(file.title) as note:
            fetch(file, note)
    except OSError as exc:
        raise NotDownloaded(
            f"The weights of {file.title} cannot be obtained: expected them at {file.path} or from the internet, "
            f"found neither ({one_line(exc)}). {WAYS_OUT} The model efficientnet_lite2 needs no download."
        ) from exc


def fetch(file: RemoteFile, note: Note, silence_s: float = SILENCE_S) -> None:
    """Download a file to its place unless it is there, possibly by another process meanwhile.

    What was received before an interruption is not requested again, if the host allows that and the digest can show
    that both halves fit. A damaged file is downloaded once more.

    Raises OSError with a phrase that gives the reason: the host is silent for `silence_s`, the disk is full, ...
    """
    file.path.parent.mkdir(parents=True, exist_ok=True)
    part = file.path.with_name(file.path.name + ".part")
    with part.open("ab") as out, locked(out):
        out.seek(0, os.SEEK_END)  # another process may have appended to it
        if file.is_here():
            part.unlink(missing_ok=True)
            return
        for _ in range(ATTEMPTS):
            receive(file, out, note, silence_s)
            if file.is_intact(part):
                part.replace(file.path)
                return
            start_over(out)
    raise OSError(f"{host(file)}: the file arrived damaged {ATTEMPTS} times")


def receive(file: RemoteFile, out: IO[bytes], note: Note, silence_s: float) -> None:
    """Append the rest of a file to `out`, over as many connections as it takes, if each brings some of it."""
    if not file.digest:
        start_over(out)
    while True:
        before = out.tell()
        try:
            return receive_once(file.url, out, note, silence_s)
        except (OSError, HTTPException) as exc:
            if out.tell() == before:
                raise OSError(f"{host(file)}: {phrase(exc, silence_s)}") from exc


def receive_once(url: str, out: IO[bytes], note: Note, silence_s: float) -> None:
    """Append what one connection brings. Raises OSError or HTTPException unless that is the rest of the file."""
    try:
        response = opened(url, out.tell(), silence_s)
    except HTTPError as exc:
        with exc:
            if exc.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and out.tell():
                return  # all of it is here
            raise
    with response:
        if response.status != HTTPStatus.PARTIAL_CONTENT:
            start_over(out)
        total = out.tell() + response.length if response.length else 0
        note(out.tell(), total)
        while chunk := response.read1(CHUNK):
            out.write(chunk)
            note(out.tell(), total)
    out.flush()
    if out.tell() < total:
        raise ConnectionError("the connection ended early")


def start_over(out: IO[bytes]) -> None:
    out.seek(0)
    out.truncate()


def opened(url: str, offset: int, silence_s: float) -> HTTPResponse:
    """Return the response with the content of `url` from `offset` on.

    Raises OSError: TimeoutError if it does not begin within `silence_s`. A thread of its own waits for it, since the
    name service knows no limit and a host may have many addresses.
    """
    request = Request(url, headers={"Range": f"bytes={offset}-"} if offset else {})
    opener = build_opener(SoonHandler, SoonTLSHandler)
    future: Future[HTTPResponse] = Future()

    def run() -> None:
        try:
            response = opener.open(request, timeout=silence_s)
        except BaseException as exc:
            if future.set_running_or_notify_cancel():
                future.set_exception(exc)
        else:
            if future.set_running_or_notify_cancel():
                future.set_result(response)
            else:
                response.close()

    threading.Thread(target=run, name="download", daemon=True).start()
    try:
        return future.result(silence_s)
    finally:
        future.cancel()


class SoonConnection(HTTPConnection):
    """A connection that gives each address CONNECT_S, so that one that swallows packets leaves time for the next."""

    def connect(self) -> None:
        connect_soon(self, super().connect)


class SoonTLSConnection(HTTPSConnection):
    """As SoonConnection, with TLS."""

    def connect(self) -> None:
        connect_soon(self, super().connect)


def connect_soon(connection: HTTPConnection, connect: Callable[[], None]) -> None:
    silence_s, connection.timeout = connection.timeout, CONNECT_S
    connect()
    connection.sock.settimeout(silence_s)


class SoonHandler(HTTPHandler):
    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(SoonConnection, req)


class SoonTLSHandler(HTTPSHandler):
    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(SoonTLSConnection, req)


def host(file: RemoteFile) -> str:
    return urlsplit(file.url).hostname or file.url


def phrase(exc: Exception, silence_s: float) -> str:
    """Return the reason of a failed request: "Name or service not known", "HTTP 404 Not Found"."""
    match exc:
        case HTTPError():
            return f"HTTP {exc.code} {exc.reason}"
        case URLError(reason=Exception() as reason):
            return phrase(reason, silence_s)
        case TimeoutError():
            return f"no answer within {silence_s:g} s"
        case OSError(strerror=str(reason)):
            return reason
    return one_line(exc)
