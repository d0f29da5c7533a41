"""What many machines would answer: a simulation of queues with the service times measured here.

    .venv/bin/python bench/scaling.py     prints the tables of docs/scaling.md

A request takes a core of a web machine, then waits in the shorter queue of two replicas, as Ray Serve's router has it;
a replica that is free runs all that waits there as one batch (`classifier/batching.py`), and what could not be answered
within 5 s is refused before it is read (`Engine.admit`). Times are in seconds.
"""

import heapq
import random
import sys
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from classifier.serving.admission import LET_IN_S

WEB_S = 0.007  # of a core for a photo of 117 kB: HTTP, decoding, preview, page (docs/performance.md)
TIMEOUT_S = 30


@dataclass(frozen=True)
class Model:
    """How long a batch takes: `seconds` for each of `sizes`, straight lines between them; the last is the largest."""

    name: str
    sizes: Sequence[int]
    seconds: Sequence[float]

    @property
    def batch(self) -> int:
        return self.sizes[-1]

    def takes(self, n: int) -> float:
        at = bisect_left(self.sizes, n)
        if self.sizes[at] == n:
            return self.seconds[at]
        low, high = self.sizes[at - 1], self.sizes[at]
        return self.seconds[at - 1] + (self.seconds[at] - self.seconds[at - 1]) * (n - low) / (high - low)


# docs/performance.md: a photo alone, and by 4, 8, 16 on 2 cores.
VGG16_CPU = Model("VGG16, 2 cores, float32", (1, 4, 8, 16), (0.155, 4 * 0.142, 8 * 0.140, 16 * 0.137))
VGG16_BF16 = Model("VGG16, 2 cores, bfloat16", (1, 16), (0.084, 16 * 0.069))
# Computed, not measured: 31 GFLOP a photo at 30 of an L4's 121 TFLOP/s, 5 ms to start a batch.
VGG16_GPU = Model("VGG16, a small GPU, float16", (1, 32), (0.006, 0.005 + 32 * 31e9 / 30e12))


@dataclass
class Outcome:
    """What came of a run, after it had become steady."""

    seconds: float
    latencies: list[float] = field(default_factory=list)
    refused: int = 0
    batches: list[int] = field(default_factory=list)
    late: int = 0

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def quantile(self, share: float) -> float:
        return sorted(self.latencies)[min(len(self.latencies) - 1, int(share * len(self.latencies)))]

    @property
    def mean(self) -> float:
        return sum(self.latencies) / len(self.latencies)


class Replica:
    """A queue and a model. `began` and `running` tell of the present batch, if there is one."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.queue: deque[float] = deque()  # when each request arrived at the site
        self.running = 0
        self.ends = 0.0

    def answered_in(self, now: float) -> float:
        """When one more would be answered, going by the pace of whole batches, as `Batcher` does."""
        pace = self.model.takes(self.model.batch) / self.model.batch
        return max(0.0, self.ends - now) + pace * (len(self.queue) + 1)

    def has_room(self, now: float, max_waiting: int) -> bool:
        patience = TIMEOUT_S if len(self.queue) < self.model.batch else LET_IN_S
        busy = self.running or self.queue
        return len(self.queue) < max_waiting and not (busy and self.answered_in(now) > patience)


class Site:
    """Web cores before replicas, driven by a calendar of events. Seeded: the same every time."""

    def __init__(
        self,
        model: Model,
        replicas: int,
        web_cores: int,
        *,
        web_s: Callable[[], float] = lambda: WEB_S,
        model_s: Callable[[Replica, int], float] = lambda replica, n: replica.model.takes(n),
        max_waiting: int = 256,
        seed: int = 1,
    ) -> None:
        self.chance = random.Random(seed)
        self.replicas = [Replica(model) for _ in range(replicas)]
        self._idle_cores = web_cores
        self._before_web: deque[float] = deque()
        self._web_s, self._model_s = web_s, model_s
        self._max_waiting = max_waiting
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._answered: Callable[[float], None] = lambda arrived: None
        self.now = 0.0

    def open(self, rate: float, seconds: float, warm_s: float) -> Outcome:
        """Requests come at `rate` a second, independent of each other, as from very many people."""

        def arrive() -> None:
            self._at(self.chance.expovariate(rate), arrive)
            self._arrive()

        return self._run(arrive, 1, seconds, warm_s)

    def closed(self, clients: int, seconds: float, warm_s: float) -> Outcome:
        """So many clients, each of which asks again as soon as it is answered, as in docs/performance.md."""
        self._answered = lambda arrived: self._arrive()
        return self._run(self._arrive, clients, seconds, warm_s)

    def _run(self, first: Callable[[], None], times: int, seconds: float, warm_s: float) -> Outcome:
        self.outcome = Outcome(seconds)
        self._warm_s = warm_s
        for _ in range(times):
            self._at(0, first)
        while self._events and (event := heapq.heappop(self._events))[0] < warm_s + seconds:
            self.now = event[0]
            event[2]()
        return self.outcome

    def _at(self, in_s: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + in_s, next(self._numbers), do))

    def _arrive(self) -> None:
        if self._idle_cores:
            self._idle_cores -= 1
            self._serve(self.now)
        else:
            self._before_web.append(self.now)

    def _serve(self, arrived: float) -> None:
        """Refuse, or work on a request and give it to a replica."""
        replica = self._shorter()
        if not replica.has_room(self.now, self._max_waiting):
            self.outcome.refused += self.now > self._warm_s
            self._free_core()
            return

        def done() -> None:
            replica = self._shorter()
            replica.queue.append(arrived)
            if not replica.running:
                self._start(replica)
            self._free_core()

        self._at(self._web_s(), done)

    def _free_core(self) -> None:
        if self._before_web:
            self._serve(self._before_web.popleft())
        else:
            self._idle_cores += 1

    def _shorter(self) -> Replica:
        """The one with less in hand of two taken at random."""
        some = self.chance.sample(self.replicas, min(2, len(self.replicas)))
        return min(some, key=lambda replica: len(replica.queue) + replica.running)

    def _start(self, replica: Replica) -> None:
        n = min(len(replica.queue), replica.model.batch)
        batch = [replica.queue.popleft() for _ in range(n)]
        seconds = self._model_s(replica, n)
        replica.running, replica.ends = n, self.now + seconds
        if self.now > self._warm_s:
            self.outcome.batches.append(n)

        def done() -> None:
            replica.running = 0
            if replica.queue:
                self._start(replica)
            for arrived in batch:
                if self.now > self._warm_s:
                    self.outcome.latencies.append(self.now - arrived)
                self._answered(arrived)

        self._at(seconds, done)


MEASURED = {1: (5.95, None), 8: (6.77, None), 32: (6.95, 4.57)}  # docs/performance.md: photos per second, p50
PLANS = (  # (photos a second, model, replicas, web cores, seconds to look at)
    (10, VGG16_CPU, 2, 1, 2000),
    (10, VGG16_CPU, 3, 1, 2000),
    (10, VGG16_BF16, 1, 1, 2000),
    (10, VGG16_GPU, 1, 1, 2000),
    (1000, VGG16_GPU, 1, 12, 20),
    (1000, VGG16_GPU, 2, 8, 20),
    (1000, VGG16_GPU, 2, 12, 20),
    (1000, VGG16_CPU, 170, 12, 40),
    (1200, VGG16_GPU, 2, 12, 20),
    (2500, VGG16_GPU, 2, 24, 20),
)


def against_measured() -> str:
    lines = [
        "| clients | measured, photos/s | simulated | measured p50, s | simulated |",
        "| --- | --- | --- | --- | --- |",
    ]
    for clients, (rate, p50) in MEASURED.items():
        got = Site(VGG16_CPU, 1, 2).closed(clients, 600, 60)
        lines.append(f"| {clients} | {rate} | {got.rate:.2f} | {p50 or ''} | {got.quantile(0.5):.2f} |")
    return "\n".join(lines)


def plans() -> str:
    lines = [
        "| photos/s | model | replicas | web cores | answered/s | refused | p50, ms | p99, ms | photos in a batch |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for rate, model, replicas, cores, seconds in PLANS:
        got = Site(model, replicas, cores).open(rate, seconds, seconds / 4)
        refused = got.refused / (got.refused + len(got.latencies))
        answered = f"{got.rate:,.0f}" if rate >= 100 else f"{got.rate:.1f}"
        lines.append(
            f"| {rate:,} | {model.name} | {replicas} | {cores} | {answered} | {refused:.1%} | "
            f"{got.quantile(0.5) * 1e3:,.0f} | {got.quantile(0.99) * 1e3:,.0f} | "
            f"{sum(got.batches) / len(got.batches):.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(against_measured(), plans(), sep="\n\n")
