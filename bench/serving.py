"""Run the site as `make run` does, for benches, tests and screenshots."""

import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
START_S = 180


@dataclass(frozen=True)
class Site:
    """A running site, its model warm."""

    url: str
    host: str
    port: int
    master: subprocess.Popen[bytes]
    started_in_s: float

    @property
    def worker(self) -> int:
        """The process id of the one worker, the process that holds the model."""
        return children(self.master.pid)[0]

    def resident_mb(self) -> float:
        """How much memory the worker holds now, in MB."""
        return resident_mb(self.worker)


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def resident_mb(pid: int) -> float:
    """How much memory a process holds now, in MB."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1000


@contextmanager
def running(
    environ: Mapping[str, str], log: IO[bytes] | int = subprocess.DEVNULL, cwd: Path = ROOT, app: str = "wsgi:app"
) -> Iterator[Site]:
    """Start gunicorn on a free port of this machine, wait for the first page, and stop it in the end."""
    host, port = "127.0.0.1", free_port()
    started = time.monotonic()
    with subprocess.Popen(
        gunicorn(f"{host}:{port}", app), cwd=cwd, env={**os.environ, **environ}, stdout=log, stderr=log
    ) as master:
        try:
            url = f"http://{host}:{port}"
            wait_for(url, master)
            yield Site(url, host, port, master, time.monotonic() - started)
        finally:
            master.terminate()


def gunicorn(address: str, app: str = "wsgi:app", folder: Path = ROOT) -> list[str]:
    """Return the command that the documents give, with this interpreter, for the checkout in `folder`."""
    return [sys.executable, "-m", "gunicorn", "-c", str(folder / "gunicorn.conf.py"), "-b", address, app]


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return when the page at `url` answers; the kernel holds the first request until the model is warm."""
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urlopen(url, timeout=START_S).close()
            return
        except (URLError, ConnectionError):
            time.sleep(0.05)  # not listening yet, or about to end
    raise RuntimeError(f"The site did not come up at {url}.")


def multipart(field: str, photo: bytes) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of a form with one photo, as curl and browsers send it."""
    head = f'--form\r\nContent-Disposition: form-data; name="{field}"; filename="photo.jpg"\r\n'
    body = head.encode() + b"Content-Type: image/jpeg\r\n\r\n" + photo + b"\r\n--form--\r\n"
    return body, {"Content-Type": "multipart/form-data; boundary=form"}


def run_together(threads: Iterable[threading.Thread], timeout_s: float | None = None) -> None:
    """Start all threads, then wait for each to end."""
    threads = list(threads)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout_s)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing uses.

    It lies below those that the system gives to connections: one of these may be gone before a server takes it.
    """
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
