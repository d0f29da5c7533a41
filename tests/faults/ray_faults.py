"""Kill a replica, then a whole Ray node, under a site with constant load; then return the node.

    python tests/faults/ray_faults.py [--clients 16] [--steady 8]

A cluster of three nodes on this machine's loopback: one without replicas that the site is on, and two with one replica
each. Every request has to be answered; prints what each second answered, and exits with 1 when a request was lost. The
model is CLASSIFIER_MODEL's, MobileNetV2 with random weights by default. Takes about two minutes.
"""

import argparse
import os
import statistics
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "bench"), str(ROOT / "tests")]

from overhead import jpeg  # noqa: E402
from serving import Site, multipart, running  # noqa: E402
from support.ray_cluster import replicas_of  # noqa: E402

from classifier.cluster import ray_serve as ours  # noqa: E402

BACK_S = 120


class Load:
    """Clients that send requests all the time and record each outcome with its time."""

    def __init__(self, site: Site, clients: int) -> None:
        self._site = site
        self._photo = multipart("fileImage", jpeg(500, 375, 90))
        self._stop = threading.Event()
        self.outcomes: list[tuple[float, object]] = []
        self._threads = [threading.Thread(target=self._client) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def rate(self, seconds: float) -> float:
        """Return the photos answered per second over the coming `seconds`."""
        before = len(self.outcomes)
        time.sleep(seconds)
        return (len(self.outcomes) - before) / seconds

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _client(self) -> None:
        while not self._stop.is_set():
            with closing(HTTPConnection(self._site.host, self._site.port, timeout=60)) as connection:
                try:
                    connection.request("POST", "/", *self._photo)
                    response = connection.getresponse()
                    response.read()
                    self.outcomes.append((time.monotonic(), response.status))
                except (OSError, HTTPException) as exc:
                    self.outcomes.append((time.monotonic(), repr(exc)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--steady", type=float, default=8, help="seconds in which a rate is taken")
    options = parser.parse_args()
    os.environ.setdefault("CLASSIFIER_MODEL", "mobilenet_v2")
    os.environ.setdefault("CLASSIFIER_WEIGHTS", "random")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    environ = {"CLASSIFIER_ENGINE": "ray", "CLASSIFIER_REPLICAS": "2", "CLASSIFIER_KEEP_HOURS": "0"}
    try:
        with running({**environ, "RAY_ADDRESS": cluster.address}, log=sys.stderr.fileno()) as site:
            started = time.monotonic()
            load = Load(site, options.clients)
            load.rate(3)
            before = load.rate(options.steady)

            pids = replicas_of(ours.APP)
            kill_replica = time.monotonic() - started
            os.kill(pids[0], 9)
            wait_for_replicas(gone=pids[:1])
            back_replica = time.monotonic() - started
            load.rate(3)
            after_replica = load.rate(options.steady)

            pids = replicas_of(ours.APP)
            kill_node = time.monotonic() - started
            cluster.remove_node(nodes[0], allow_graceful=False)
            meanwhile = load.rate(options.steady)
            cluster.add_node(num_cpus=1)
            lost = [pid for pid in pids if pid not in replicas_of(ours.APP)]
            assert lost, "the node had no replica"
            wait_for_replicas(gone=lost)
            back_node = time.monotonic() - started
            load.rate(3)
            after_node = load.rate(options.steady)
            load.stop()
    finally:
        cluster.shutdown()

    print(
        f"photos a second before {before:.1f}; killed a replica at {kill_replica:.0f} s, back at {back_replica:.0f} s:"
    )
    print(f"  then {after_replica:.1f}; killed a node at {kill_node:.0f} s: {meanwhile:.1f} without it,")
    print(f"  {after_node:.1f} when another node and its replica had come at {back_node:.0f} s")
    seconds = Counter(int(when - started) for when, _ in load.outcomes)
    print("each second:", *(seconds[second] for second in range(max(seconds) + 1)))
    statuses = Counter(outcome for _, outcome in load.outcomes)
    print("outcomes:", dict(statuses), "| median rate", statistics.median(seconds.values()))
    print("load average:", *(f"{value:.1f}" for value in os.getloadavg()))
    return int(set(statuses) != {200})


def wait_for_replicas(gone: list[int]) -> None:
    """Wait until two other replicas run and have loaded the model."""
    deadline = time.monotonic() + BACK_S
    while len(pids := set(replicas_of(ours.APP)) - set(gone)) < 2 or not all(has_model(pid) for pid in pids):
        if time.monotonic() > deadline:
            raise TimeoutError(f"No two replicas after {BACK_S} s.")
        time.sleep(0.2)


def has_model(pid: int) -> bool:
    try:
        return "libtensorflow" in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
