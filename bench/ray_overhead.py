"""What Ray costs: the site with CLASSIFIER_ENGINE=ray beside the same site with `local`, in one interleaved run.

    python bench/ray_overhead.py [--replicas 2] [--rounds 3] [--clients 32] [--photos 96] [--alone 20]

Both sites stay up; every round asks one after the other, and while one is asked the other is idle. Prints, for one
client, the medians of a request and their difference; for many, photos a second and their ratio; and the load average,
for what else runs here. The model is CLASSIFIER_MODEL's, VGG16 with random weights by default.
"""

import argparse
import json
import os
import statistics
import threading
import time
from contextlib import ExitStack
from http.client import HTTPConnection
from itertools import count

from overhead import PAUSE_S, WARM_UP, jpeg, post
from serving import Site, multipart, run_together, running


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"replicas": 2, "rounds": 3, "clients": 32, "photos": 96, "alone": 20}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    if "CLASSIFIER_MODEL" not in os.environ:
        os.environ.setdefault("CLASSIFIER_WEIGHTS", "random")
    photo = jpeg(500, 375, 97)
    with ExitStack() as sites:
        engines = {"local": {}, "ray": {"CLASSIFIER_REPLICAS": str(options.replicas)}}
        local, ray = (
            sites.enter_context(running({"CLASSIFIER_ENGINE": name, "CLASSIFIER_KEEP_HOURS": "0", **more}))
            for name, more in engines.items()
        )
        name = os.environ.get("CLASSIFIER_MODEL") or "vgg16"
        print(f"model {name}, {options.replicas} replicas, {os.cpu_count()} cores")
        print(f"ready after            local {local.started_in_s:.1f} s, ray {ray.started_in_s:.1f} s")
        print(f"largest difference of a score: {difference(local, ray, photo):.1e}")
        alone = in_turns([local, ray], photo, options.alone)
        for name, of in (("p50", statistics.median), ("fastest", min)):
            here, there = map(of, alone)
            print(f"one client, {name:11}local {here:.1f} ms, ray {there:.1f} ms: added {there - here:.1f} ms")
        for site in (local, ray):
            rate(site, photo, options.clients, options.clients)  # warm
        rates = [
            [rate(site, photo, options.clients, options.photos) for site in (local, ray)] for _ in range(options.rounds)
        ]
        medians = [statistics.median(of_one) for of_one in zip(*rates, strict=True)]
        ratio = statistics.median(ray / local for local, ray in rates)
        print(f"{options.clients} clients, photos a s  local {medians[0]:.2f}, ray {medians[1]:.2f}: ratio {ratio:.2f}")
        print("each round             " + ", ".join(f"{local:.2f} / {ray:.2f}" for local, ray in rates))
        print("load average           " + " ".join(f"{load:.1f}" for load in os.getloadavg()))


def difference(local: Site, ray: Site, photo: bytes) -> float:
    """How far the two sites' scores for a photo are apart; they have to name the same classes."""
    answers = [predictions(site, photo) for site in (local, ray)]
    assert [p["index"] for p in answers[0]] == [p["index"] for p in answers[1]]
    return max(abs(one["score"] - other["score"]) for one, other in zip(*answers, strict=True))


def predictions(site: Site, photo: bytes) -> list[dict[str, float]]:
    connection = HTTPConnection(site.host, site.port)
    body, headers = multipart("fileImage", photo)
    connection.request("POST", "/", body, {**headers, "Accept": "application/json"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    found: list[dict[str, float]] = answer["results"][0]["predictions"]
    return found


def times(site: Site, photo: bytes, requests: int) -> list[float]:
    """The milliseconds of each request of one client."""
    taken = []
    for _ in range(WARM_UP + requests):
        time.sleep(PAUSE_S)
        started = time.perf_counter()
        post(site, photo)
        taken.append((time.perf_counter() - started) * 1000)
    return taken[WARM_UP:]


def in_turns(sites: list[Site], photo: bytes, requests: int) -> list[list[float]]:
    """The milliseconds of each site's requests, one client asking one site after the other."""
    taken: list[list[float]] = [[] for _ in sites]
    for _ in range(WARM_UP + requests):
        for site, of_site in zip(sites, taken, strict=True):
            time.sleep(PAUSE_S)
            started = time.perf_counter()
            post(site, photo)
            of_site.append((time.perf_counter() - started) * 1000)
    return [of_site[WARM_UP:] for of_site in taken]


def rate(site: Site, photo: bytes, clients: int, photos: int) -> float:
    """Photos a second, from clients that send their next photo when they have the answer to the last."""
    numbers = count()

    def client() -> None:
        while next(numbers) < photos:
            post(site, photo)

    started = time.monotonic()
    run_together(threading.Thread(target=client) for _ in range(clients))
    return photos / (time.monotonic() - started)


if __name__ == "__main__":
    main()
