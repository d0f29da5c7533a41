"""How much requests for heat maps slow the photos down: `python bench/explain.py [--burst] [--distinct]`.

Photos come from clients that each wait for their last answer. In turns, so that drift affects both alike, they are
alone on the site, and beside 200 requests for one result's heat map: spread evenly over the rounds, or with --burst all
at once in each. With --distinct each is for another class, so that none is answered from memory. Prints the photos'
latencies and the status codes of the requests.
"""

import argparse
import json
import os
import threading
import time
from collections import Counter
from contextlib import closing
from http.client import HTTPConnection
from tempfile import TemporaryDirectory

import numpy as np
from overhead import jpeg
from overload import ask
from serving import Site, multipart, run_together, running

MAPS = 200


def main() -> None:
    args = arguments()
    os.environ.setdefault("CLASSIFIER_WEIGHTS", "random")
    photo = jpeg(500, 375, 97)
    alone: list[float] = []
    beside: list[float] = []
    outcomes: Counter[int] = Counter()
    with TemporaryDirectory() as uploads, running({"CLASSIFIER_UPLOADS": uploads}) as site:
        for round_ in range(args.rounds):
            alone += photos_alone(site, photo, args)
            path = kept(site, photo)
            count = MAPS if args.burst else MAPS // args.rounds
            maps = [f"{path}/why?class={round_ * count + i if args.distinct else 0}" for i in range(count)]
            beside += photos_beside(site, photo, args, maps, outcomes)
    for name, seconds in (("alone", alone), ("beside the maps", beside)):
        p50, p95 = np.percentile(seconds, [50, 95]) * 1000
        print(f"{name:16} {len(seconds):4} photos, p50 {p50:6.0f} ms, p95 {p95:6.0f} ms")
    print(f"p95 beside/alone {np.percentile(beside, 95) / np.percentile(alone, 95):.3f}")
    print("maps:", dict(outcomes))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--clients", type=int, default=8, help="that send photos (8)")
    parser.add_argument("--seconds", type=float, default=10, help="of each part (10)")
    parser.add_argument("--rounds", type=int, default=6, help="both parts so many times (6)")
    parser.add_argument("--burst", action="store_true", help="all maps at once")
    parser.add_argument("--distinct", action="store_true", help="each map for another class")
    return parser.parse_args()


def photos_alone(site: Site, photo: bytes, args: argparse.Namespace) -> list[float]:
    """Seconds that each photo took, from clients that wait for their last answer."""
    until, taken = time.monotonic() + args.seconds, []

    def client() -> None:
        while time.monotonic() < until:
            status, seconds = ask(site, photo)
            assert status == 200, status
            taken.append(seconds)

    run_together(threading.Thread(target=client) for _ in range(args.clients))
    return taken


def photos_beside(
    site: Site, photo: bytes, args: argparse.Namespace, maps: list[str], outcomes: Counter[int]
) -> list[float]:
    """As `photos_alone`, while heat maps are asked for."""
    began, pause = time.monotonic(), 0 if args.burst else args.seconds / len(maps)

    def look(i: int) -> None:
        time.sleep(max(0.0, began + 0.5 + i * pause - time.monotonic()))
        outcomes[get(site, maps[i])] += 1

    threads = [threading.Thread(target=look, args=(i,)) for i in range(len(maps))]
    for thread in threads:
        thread.start()
    taken = photos_alone(site, photo, args)
    for thread in threads:
        thread.join()
    return taken


def get(site: Site, path: str) -> int:
    with closing(HTTPConnection(site.host, site.port, timeout=120)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status


def kept(site: Site, photo: bytes) -> str:
    """The path of a kept result."""
    with closing(HTTPConnection(site.host, site.port, timeout=120)) as connection:
        body, headers = multipart("fileImage", photo)
        connection.request("POST", "/", body, headers | {"Accept": "application/json"})
        return str(json.load(connection.getresponse())["results"][0]["url"])


if __name__ == "__main__":
    main()
