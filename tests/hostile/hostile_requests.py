"""Send 1,900 hostile requests to a running site and check that it handles them as documented.

.venv/bin/python tests/hostile/hostile_requests.py                        the toy site, started for this
.venv/bin/python tests/hostile/hostile_requests.py http://127.0.0.1:8080  a site that runs, perhaps behind nginx
"""

import argparse
import json
import random
import re
import select
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "bench")]

from hostile.requests import Attack, attacks  # noqa: E402
from serving import multipart, run_together, running  # noqa: E402
from support.environ import PYTHONPATH  # noqa: E402
from support.pictures import picture  # noqa: E402 (these are found only after the line above)

MAX_S = 10
ANSWERED_SOON_S = 0.3
CLIENTS = 8
SLOW = 100  # connections that send a byte now and then, and as many that send nothing
HEALTHY_EVERY = 50
OURS = re.compile(r"uploads/([0-9a-f]{32}\.(jpg|json)|cookies\.key)|temporary/classifier-metrics-[^/]*/[^/]*\.db")


class Outcome(NamedTuple):
    attack: Attack
    status: int | None  # None: the connection was closed without an answer
    seconds: float
    retry_after: bool

    @property
    def fault(self) -> str:
        """Return what is wrong with the response, "" if nothing is."""
        if self.seconds > MAX_S:
            return f"took {self.seconds:.1f} s"
        if self.status is None:
            return "no answer" if self.attack.is_whole else ""
        of_http = self.status in (501, 505) and not self.attack.is_whole  # nginx' word for HTTP that there is not
        is_honest = of_http or (self.status == 503 and self.retry_after)
        return f"status {self.status}" if self.status >= 500 and not is_honest else ""


class Target(NamedTuple):
    host: str
    port: int
    prefix: str = ""
    worker: int = 0  # the process that answers, where it is ours

    def connect(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=3 * MAX_S)


def send(target: Target, attack: Attack) -> Outcome:
    """Send one request on its own connection; return the first line of the response."""
    started, answer = time.monotonic(), b""
    with target.connect() as connection:
        with suppress(OSError):  # an early refusal may break off our sending
            connection.sendall(prefixed(attack.request, target.prefix))
        with suppress(OSError):
            if not attack.is_whole:
                end(connection, attack)
            while chunk := connection.recv(2**16):
                answer += chunk[: 2**16 - len(answer)]
    found = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
    retry_after = b"\r\nretry-after:" in answer.lower()
    return Outcome(attack, int(found[1]) if found else None, time.monotonic() - started, retry_after)


def end(connection: socket.socket, attack: Attack) -> None:
    """Say no more, which ends what waits for more. First the others get time for an answer: nginx drops it then."""
    if attack.kind != "disconnects":
        select.select([connection], [], [], ANSWERED_SOON_S)
    connection.shutdown(socket.SHUT_WR)


def prefixed(request: bytes, prefix: str) -> bytes:
    """Return the request with the site's prefix before its path, if it has one."""
    return re.sub(rb"\A([A-Z]+ )/", rb"\1" + prefix.encode() + rb"/", request)


def label(target: Target, photo: bytes) -> str:
    """Return the label of a healthy photo, within the documented time."""
    connection = HTTPConnection(target.host, target.port, timeout=MAX_S)
    try:
        body, headers = multipart("fileImage", photo)
        connection.request("POST", target.prefix + "/", body, headers | {"Accept": "application/json"})
        answer = json.load(connection.getresponse())
        return str(answer["results"][0]["predictions"][0]["label"])
    finally:
        connection.close()


@contextmanager
def slow_clients(target: Target, number: int) -> Iterator[None]:
    """Keep `number` idle connections open, and as many that never finish their headers."""
    done = threading.Event()
    with ExitStack() as open_until_done:
        idle = [open_until_done.enter_context(target.connect()) for _ in range(2 * number)]

        def trickle() -> None:
            request = iter(b"POST / HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"y" * 10**6)
            while not done.wait(0.5):
                byte = bytes([next(request)])
                for connection in idle[number:]:
                    with suppress(OSError):
                        connection.send(byte)

        trickling = threading.Thread(target=trickle)
        trickling.start()
        yield
        done.set()
        trickling.join()


def assault(target: Target, all_attacks: Sequence[Attack], slow: int = SLOW) -> tuple[list[Outcome], list[str]]:
    """Send all attacks from several clients; return the outcomes, and the labels of healthy photos meanwhile."""
    photo = picture("lime", format="JPEG")
    outcomes, told, numbers = [], [label(target, photo)], count()

    def client() -> None:
        while (number := next(numbers)) < len(all_attacks):
            outcomes.append(send(target, all_attacks[number]))
            if number % HEALTHY_EVERY == 0:
                told.append(label(target, photo))

    with slow_clients(target, slow):
        run_together(threading.Thread(target=client) for _ in range(CLIENTS))
    return outcomes, [*told, label(target, photo)]


def strangers(folder: Path) -> list[str]:
    """Return the files under `folder` that are neither results, the cookies' key, nor the counters behind /metrics."""
    files = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    return [name for name in files if not OURS.fullmatch(name)]


@contextmanager
def toy_site(folder: Path) -> Iterator[Target]:
    """Run the toy site with its working directory and everything it may write in `folder`."""
    for name in ("uploads", "temporary", "working"):
        (folder / name).mkdir()
    environ = {
        **PYTHONPATH,
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(folder / "temporary"),
        "CLASSIFIER_UPLOADS": str(folder / "uploads"),
    }
    with running(environ, app="hostile.site:app", cwd=folder / "working") as site:
        yield Target(site.host, site.port, worker=site.worker)


def table(outcomes: Sequence[Outcome]) -> str:
    """Return a table of the responses to each kind of attack."""
    rows = [
        f"{'attack':12} {'sent':>5} {'closed':>7} {'2xx/3xx':>8} {'4xx':>5} {'503':>4} {'faults':>7} {'slowest':>8}"
    ]
    for kind in dict.fromkeys(outcome.attack.kind for outcome in outcomes):
        of = [outcome for outcome in outcomes if outcome.attack.kind == kind]
        by = Counter(outcome.status and outcome.status // 100 for outcome in of)
        faults = sum(bool(outcome.fault) for outcome in of)
        honest = sum(outcome.status == 503 for outcome in of)
        slowest = max(outcome.seconds for outcome in of)
        counts = f"{by[None]:7} {by[1] + by[2] + by[3]:8} {by[4]:5} {honest:4} {faults:7}"
        rows.append(f"{kind:12} {len(of):5} {counts} {slowest:7.2f}s")
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="a running site; without one, the toy site is started")
    parser.add_argument("--share", type=float, default=1, help="send only this part of the attacks")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with TemporaryDirectory(prefix="hostile-") as name, ExitStack() as stack:
        if options.url:
            url = urlsplit(options.url)
            target = Target(url.hostname or "127.0.0.1", url.port or 80, url.path.rstrip("/"))
        else:
            target = stack.enter_context(toy_site(Path(name)))
        outcomes, told = assault(target, attacks(random.Random(options.seed), options.share))
        written = strangers(Path(name))
    print(table(outcomes))
    faults = [f"{outcome.fault}: {outcome.attack.request[:200]!r}" for outcome in outcomes if outcome.fault]
    print(f"{len(outcomes)} requests; healthy photos: {dict(Counter(told))}; written elsewhere: {written or 'nothing'}")
    print("\n".join(faults))
    return int(bool(faults or written or len(set(told)) > 1))


if __name__ == "__main__":
    sys.exit(main())
