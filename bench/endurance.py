"""Full load for minutes behind nginx: `python bench/endurance.py [minutes]`. Exits 1 when a promise is not kept.

Good, bad, slow and disconnecting clients at once. The model is MobileNetV2, with the weights and photos of
../shared/data where they are, else with random weights, which have to give the same answer to a photo every time.
"""

import json
import random
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory

from overhead import jpeg
from proxied import HOST, Gunicorn, nginx
from serving import ROOT, children, multipart, resident_mb, run_together

SHARED = ROOT.parent / "shared" / "data"
MINUTES = 10.0
GOOD, BAD, SLOW, LEAVING = 12, 2, 4, 2  # clients
LEVEL_AFTER_S = 120
MAX_GROWTH_MB = 30
IDLE_S = 15  # after the load, for descriptors to be closed
HONEST = {503}
BAD_BODIES = [b"", b"no image", b"\xff\xd8\xff" + bytes(1000), b"GIF89a" + bytes(50), b"RIFF\x18\0\0\0WEBPVP8 "]


@dataclass
class Tally:
    """What came back, from any number of threads."""

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, status: int, is_right: bool, what: str) -> None:
        with self.lock:
            self.statuses[status] += 1
            if not is_right:
                self.wrong.append(f"{status} {what}")

    def unexcused(self) -> int:
        """How many answers were our fault, other than saying so."""
        return sum(n for status, n in self.statuses.items() if status >= 500 and status not in HONEST)


@dataclass(frozen=True)
class Reading:
    """What the worker process holds at a time."""

    second: float
    megabytes: float
    descriptors: int
    threads: int


def read(pid: int, began: float) -> Reading:
    process = Path(f"/proc/{pid}")
    descriptors, threads = (len(list((process / name).iterdir())) for name in ("fd", "task"))
    return Reading(time.monotonic() - began, resident_mb(pid), descriptors, threads)


class Clients:
    """All that ask, until `until` (time.monotonic()). Each request has an address of its own: see `source`."""

    def __init__(self, port: int, photos: list[bytes], until: float) -> None:
        self.port, self.photos, self.until = port, photos, until
        self.tally = Tally()
        self.expected = [self.ask(multipart("fileImage", photo)) for photo in photos]

    def threads(self) -> Iterator[threading.Thread]:
        kinds = [(self.good, GOOD), (self.bad, BAD), (self.slow, SLOW), (self.leaving, LEAVING)]
        for kind, count in kinds:
            for seed in range(count):
                yield threading.Thread(target=self.repeat, args=(kind, random.Random(seed)))

    def repeat(self, once: Callable[[random.Random], None], chance: random.Random) -> None:
        while time.monotonic() < self.until:
            try:
                once(chance)
            except (OSError, HTTPException) as error:
                self.tally.note(0, False, repr(error))

    def good(self, chance: random.Random) -> None:
        """A photo, which has to get the answer that it got before the load."""
        number = chance.randrange(len(self.photos))
        status, label = self.ask(multipart("fileImage", self.photos[number]), chance)
        is_right = label == self.expected[number][1] if status == 200 else status in HONEST
        self.tally.note(status, is_right, f"photo {number}: {label}")

    def bad(self, chance: random.Random) -> None:
        """What is no photo, or only its beginning: the sender's fault, and told so."""
        photo = chance.choice(self.photos)
        body = chance.choice([*BAD_BODIES, photo[: len(photo) // 3]])
        status, _ = self.ask(multipart("fileImage", body), chance)
        self.tally.note(status, 400 <= status < 500 or status in HONEST, f"bad: {body[:20]!r}")

    def slow(self, chance: random.Random) -> None:
        """A photo in ten pieces over five seconds."""
        number = chance.randrange(len(self.photos))
        body, headers = multipart("fileImage", self.photos[number])
        with closing(self.connect(chance)) as connection:
            connection.putrequest("POST", "/")
            for name, value in {**headers, "Accept": "application/json", "Content-Length": str(len(body))}.items():
                connection.putheader(name, value)
            connection.endheaders()
            for start in range(0, len(body), len(body) // 10 + 1):
                connection.send(body[start : start + len(body) // 10 + 1])
                time.sleep(0.5)
            status, label = answered(connection)
        is_right = label == self.expected[number][1] if status == 200 else status in HONEST
        self.tally.note(status, is_right, f"slow photo {number}: {label}")

    def leaving(self, chance: random.Random) -> None:
        """Half a photo, or a whole one whose answer nobody waits for."""
        body, headers = multipart("fileImage", chance.choice(self.photos))
        lines = [f"{name}: {value}" for name, value in {"Host": HOST, **headers, "Content-Length": len(body)}.items()]
        head = "\r\n".join(["POST / HTTP/1.1", *lines, "", ""]).encode()
        with socket.create_connection((HOST, self.port), 60, (source(chance), 0)) as connection:
            connection.sendall(head + body[: chance.choice([len(body) // 2, len(body)])])
            time.sleep(chance.random() / 5)
        with self.tally.lock:
            self.tally.statuses[-1] += 1

    def ask(self, form: tuple[bytes, dict[str, str]], chance: random.Random | None = None) -> tuple[int, str]:
        body, headers = form
        with closing(self.connect(chance or random.Random())) as connection:
            connection.request("POST", "/", body, headers | {"Accept": "application/json"})
            return answered(connection)

    def connect(self, chance: random.Random) -> HTTPConnection:
        return HTTPConnection(HOST, self.port, timeout=60, source_address=(source(chance), 0))


def source(chance: random.Random) -> str:
    """An address of this machine: nginx' limits per address are not what is measured."""
    return f"127.{chance.randrange(1, 250)}.{chance.randrange(250)}.{chance.randrange(1, 250)}"


def answered(connection: HTTPConnection) -> tuple[int, str]:
    """The status of an answer and its first label, or what it says instead."""
    response = connection.getresponse()
    document = json.loads(response.read())
    with suppress(KeyError):
        return response.status, document["results"][0]["predictions"][0]["label"]
    return response.status, document.get("detail", "")


def environ(folder: Path) -> dict[str, str]:
    chosen = {"CLASSIFIER_MODEL": "mobilenet_v2", "CLASSIFIER_WEIGHTS": "random"}
    if SHARED.is_dir():
        chosen["CLASSIFIER_WEIGHTS"] = str(SHARED / "mobilenet_v2.weights.h5")
    return {**chosen, "CLASSIFIER_UPLOADS": str(folder / "uploads"), "CLASSIFIER_KEEP_MB": "200"}


def sample_photos() -> list[bytes]:
    found = sorted((SHARED / "photos").glob("*.JPEG"))
    return [path.read_bytes() for path in found] or [jpeg(500, 375, 97), jpeg(1600, 1200, 90), jpeg(320, 240, 80)]


def endure(seconds: float, folder: Path) -> tuple[Tally, list[Reading]]:
    """Run the load; what came back, and readings every 10 s, one before and one well after."""
    with closing(Gunicorn(folder, environ(folder))) as site, nginx(folder / "nginx", site.path) as port:
        master, began = site.start(), time.monotonic()
        clients = Clients(port, sample_photos(), 0)
        pid = children(master.pid)[0]
        began = time.monotonic()
        readings = [read(pid, began)]
        clients.until = began + seconds
        load = threading.Thread(target=run_together, args=(clients.threads(),))
        load.start()
        while load.is_alive():
            load.join(10)
            readings.append(read(pid, began))
        time.sleep(IDLE_S)
        readings.append(read(pid, began))
        if children(master.pid) != [pid]:
            clients.tally.wrong.append("the process was replaced")
        return clients.tally, readings


def verdicts(tally: Tally, readings: list[Reading], seconds: float) -> dict[str, tuple[str, bool]]:
    """Each promise: the figure and whether it is kept."""
    before, after = readings[0], readings[-1]
    level = next(r for r in readings if r.second >= min(LEVEL_AFTER_S, seconds / 2))
    growth = max(r.megabytes for r in readings[-4:]) - level.megabytes
    answered = sum(n for status, n in tally.statuses.items() if status == 200)
    return {
        "photos answered, a second": (f"{answered}, {answered / seconds:.1f}", answered > 0),
        "answers by status": (json.dumps(dict(sorted(tally.statuses.items()))), tally.unexcused() == 0),
        "wrong or lost": (str(len(tally.wrong)), not tally.wrong),
        f"memory at {level.second:.0f} s, at the end": (
            f"{level.megabytes:.0f} MB, {growth:+.0f} MB",
            growth <= MAX_GROWTH_MB,
        ),
        "descriptors before, at most, after": (
            f"{before.descriptors}, {max(r.descriptors for r in readings)}, {after.descriptors}",
            after.descriptors <= before.descriptors + 5,
        ),
        "threads before, at most, after": (
            f"{before.threads}, {max(r.threads for r in readings)}, {after.threads}",
            after.threads <= level.threads + GOOD + BAD + SLOW + LEAVING,  # a pool, which grows with the load
        ),
    }


def main() -> None:
    seconds = 60 * float(sys.argv[1] if len(sys.argv) > 1 else MINUTES)
    with TemporaryDirectory() as folder:
        tally, readings = endure(seconds, Path(folder))
    found = verdicts(tally, readings, seconds)
    print(f"| {seconds / 60:g} minutes, {GOOD + BAD + SLOW + LEAVING} clients | | kept |\n| --- | --- | --- |")
    for name, (figure, kept) in found.items():
        print(f"| {name} | {figure} | {'yes' if kept else 'NO'} |")
    for line, count in Counter(tally.wrong).most_common(10):
        print(f"{count} x {line}", file=sys.stderr)
    sys.exit(not all(kept for _, kept in found.values()))


if __name__ == "__main__":
    main()
