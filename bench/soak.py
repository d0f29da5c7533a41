"""Whether memory stays level: `python bench/soak.py`. 2,000 photos from 32 clients, memory after every 400 of them."""

import itertools
import os
import threading
import time
from tempfile import TemporaryDirectory

from overhead import jpeg, post
from serving import Site, run_together, running

CLIENTS = 32
WARM_UP, PHOTOS, PORTION = 200, 2000, 400


def main() -> None:
    os.environ.setdefault("CLASSIFIER_WEIGHTS", "random")
    photos = [jpeg(500, 375, 97), jpeg(1600, 1200, 90), jpeg(320, 240, 80)]
    with TemporaryDirectory() as uploads, running({"CLASSIFIER_UPLOADS": uploads}) as site:
        send(site, photos, WARM_UP)
        memory, began = [site.resident_mb()], time.monotonic()
        for _ in range(PHOTOS // PORTION):
            send(site, photos, PORTION)
            memory.append(site.resident_mb())
        rate = PHOTOS / (time.monotonic() - began)
    print(f"{PHOTOS} photos, {rate:.2f} a second; MB: {', '.join(f'{mb:.0f}' for mb in memory)}")


def send(site: Site, photos: list[bytes], count: int) -> None:
    """Post `count` photos, each client the next when it has its answer."""
    turns = itertools.count()  # next() of it is atomic

    def client() -> None:
        while (turn := next(turns)) < count:
            post(site, photos[turn % len(photos)])

    run_together(threading.Thread(target=client) for _ in range(CLIENTS))


if __name__ == "__main__":
    main()
