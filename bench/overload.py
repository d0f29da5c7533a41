"""Ten times more photos than the site can answer, and what it does then: `python bench/overload.py`.

Photos are sent at a fixed rate whatever comes back (an open loop). Prints the answers a second before and
during the overload, how fast refusals come, the slowest answer, and how soon a lone photo is as fast as before.
"""

import os
import statistics
import threading
import time
from http.client import HTTPConnection
from tempfile import TemporaryDirectory

from overhead import jpeg
from serving import Site, multipart, run_together, running

SECONDS = 30
CLIENTS = 32


def main() -> None:
    os.environ.setdefault("CLASSIFIER_WEIGHTS", "random")
    photo = jpeg(500, 375, 97)
    with TemporaryDirectory() as uploads, running({"CLASSIFIER_UPLOADS": uploads}) as site:
        alone = statistics.median(ask(site, photo)[1] for _ in range(7))
        peak = closed_loop(site, photo)
        outcomes = open_loop(site, photo, 10 * peak)
        emptied = max(at for at, _, _ in outcomes) - SECONDS
        afterwards = ask(site, photo)[1]
    answers = [(at, took) for at, took, status in outcomes if status == 200]
    refusals = sorted(took for _, took, status in outcomes if status == 503 and took < 1)
    print(f"a lone photo {alone * 1000:.0f} ms; {peak:.2f} answers a second from {CLIENTS} clients")
    goodput = len([at for at, _ in answers if 5 < at < SECONDS]) / (SECONDS - 5)
    print(f"at ten times that: {goodput:.2f} answers a second ({goodput / peak:.2f} of the peak)")
    p50, p99 = (refusals[len(refusals) * percent // 100] * 1000 for percent in (50, 99))
    print(f"slowest answer {max(took for _, took in answers):.1f} s")
    print(f"{len(refusals)} refused at once, p50 {p50:.0f} ms, p99 {p99:.0f} ms")
    print("outcomes:", {status: sum(s == status for *_, s in outcomes) for status in {s for *_, s in outcomes}})
    print(f"all was answered {emptied:.1f} s after the end; a lone photo then takes {afterwards * 1000:.0f} ms")


def ask(site: Site, photo: bytes) -> tuple[int, float]:
    """The status and the seconds of one request; status 0 for a broken connection."""
    began = time.monotonic()
    connection = HTTPConnection(site.host, site.port, timeout=120)
    try:
        connection.request("POST", "/", *multipart("fileImage", photo))
        response = connection.getresponse()
        response.read()
        return response.status, time.monotonic() - began
    except OSError:
        return 0, time.monotonic() - began
    finally:
        connection.close()


def closed_loop(site: Site, photo: bytes) -> float:
    """Answers a second when every client waits for its last answer."""
    counted: list[int] = []
    began = time.monotonic()

    def client() -> None:
        while time.monotonic() < began + SECONDS / 2:
            counted.append(ask(site, photo)[0])

    run_together(threading.Thread(target=client) for _ in range(CLIENTS))
    return counted.count(200) / (time.monotonic() - began)


def open_loop(site: Site, photo: bytes, rate: float) -> list[tuple[float, float, int]]:
    """(seconds into the load when it was over, seconds taken, status) of every photo sent at `rate`."""
    outcomes: list[tuple[float, float, int]] = []
    began = time.monotonic()

    def send(i: int) -> None:
        time.sleep(max(0, began + i / rate - time.monotonic()))
        status, took = ask(site, photo)
        outcomes.append((time.monotonic() - began, took, status))

    run_together(threading.Thread(target=send, args=(i,)) for i in range(int(rate * SECONDS)))
    return outcomes


if __name__ == "__main__":
    main()
