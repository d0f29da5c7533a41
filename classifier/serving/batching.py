"""Micro-batching: any number of threads submit items, one thread runs those that wait as one batch.

It knows nothing of models or images: items go in, futures come out, and `run` maps a list of items to as many
results, in order. Only the batcher's own thread calls `run`, so `run` may own a device.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from classifier.serving.admission import Closed, Expired, Full, Throughput

Item = TypeVar("Item")
Result = TypeVar("Result")

log = logging.getLogger(__name__)


@dataclass
class Waiting(Generic[Item, Result]):
    """An item in the queue, its future result, and its deadline by the batcher's clock."""

    item: Item
    deadline: float
    future: Future[Result] = field(default_factory=Future)

    def is_due(self, now: float) -> bool:
        """Return False for an item that nobody waits for any more; the others cannot be cancelled from here on."""
        if not self.future.set_running_or_notify_cancel():
            return False
        if now > self.deadline:
            self.future.set_exception(Expired())
            return False
        return True


class Batcher(Generic[Item, Result]):
    """Runs items in batches of at most `max_batch`; at most `max_waiting` wait.

    A batch starts as soon as the thread is free. Only an item that finds the thread idle waits for company: for at
    most `max_wait_s`, and only while another item is expected, that is, announced (see `expect`) no longer ago than
    that. Besides, as many as were answered within the last `max_wait_s` may come again: for those it waits a tenth of
    their time.

    `clock` gives seconds that never go back; deadlines are on it. `throughput` predicts how long items take.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Sequence[Result]],
        *,
        max_batch: int,
        max_wait_s: float,
        max_waiting: int,
        clock: Callable[[], float] = time.monotonic,
        throughput: Throughput | None = None,
    ) -> None:
        self._run = run
        self._max_batch = max_batch
        self._max_wait_s = max_wait_s
        self._max_waiting = max_waiting
        self._clock = clock
        self._throughput = throughput or Throughput()
        self._queue: deque[Waiting[Item, Result]] = deque()
        self._changed = threading.Condition()
        self._expected = 0
        self._announced = -math.inf  # when an item was expected last
        self._latest = 0  # items in the batch before
        self._answered = -math.inf  # when that was answered
        self._patience_s = 0.0  # how long to wait for as many
        self._closed = False
        self._running = 0  # items in the present batch
        self._running_since: float | None = None
        self._thread = threading.Thread(target=self._loop, name="batcher", daemon=True)
        self._thread.start()

    def submit(self, item: Item, deadline: float) -> Future[Result]:
        """Queue `item`; its future gets the result, what `run` raised for it, or Expired after `deadline`.

        An item whose future is cancelled in time is not run. Raises Full or Closed at once.
        """
        waiting = Waiting[Item, Result](item, deadline)
        with self._changed:
            self._check_room(deadline)
            self._queue.append(waiting)
            self._changed.notify_all()
        return waiting.future

    def check_room(self, deadline: float) -> None:
        """Raise what `submit` would raise now."""
        with self._changed:
            self._check_room(deadline)

    def waiting(self) -> int:
        """Return how many items wait for their batch."""
        return len(self._queue)

    def has_more(self) -> bool:
        """Return True while items wait, or are announced and may come at any moment."""
        return bool(self._queue or (self._expected and self._clock() < self._announced + self._max_wait_s))

    @contextmanager
    def expect(self) -> Iterator[None]:
        """Announce that this thread is preparing items: a batch that is being gathered may wait for them."""
        with self._changed:
            self._expected += 1
            self._announced = self._clock()
        try:
            yield
        finally:
            with self._changed:
                self._expected -= 1
                self._changed.notify_all()

    def running_for_s(self) -> float:
        """Return how long the present batch has been running, 0 if none is: a watchdog's reading."""
        since = self._running_since
        return 0.0 if since is None else self._clock() - since

    def close(self, timeout_s: float | None = None) -> None:
        """Accept no more items, run those that wait, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout_s)

    def _check_room(self, deadline: float) -> None:
        if self._closed:
            raise Closed
        is_busy = self._running or self._queue
        is_too_late = is_busy and self._clock() + self._answered_in_s() > deadline
        if is_too_late or len(self._queue) >= self._max_waiting:
            raise Full

    def _answered_in_s(self) -> float:
        """Return how long one more item would take, going by the throughput."""
        of_running = self._throughput.seconds(self._running) - self.running_for_s()
        return max(0.0, of_running) + self._throughput.seconds(len(self._queue) + 1)

    def _loop(self) -> None:
        while batch := self._gather():
            self._answer([waiting for waiting in batch if waiting.is_due(self._clock())])

    def _gather(self) -> list[Waiting[Item, Result]]:
        """Return the next batch, blocking until there is one; empty when closed and drained."""
        with self._changed:
            if not self._queue:
                self._changed.wait_for(lambda: self._queue or self._closed)
                self._wait_for_company()
            return [self._queue.popleft() for _ in range(min(len(self._queue), self._max_batch))]

    def _wait_for_company(self) -> None:
        """Wait for those that may come again, then for those announced; at most `max_wait_s` in all."""
        now = self._clock()
        until = now + self._max_wait_s
        if now < self._answered + self._max_wait_s:
            self._changed.wait_for(self._are_as_many, self._patience_s)
        until = min(until, self._announced + self._max_wait_s)
        self._changed.wait_for(self._is_complete, until - self._clock())

    def _are_as_many(self) -> bool:
        return self._closed or len(self._queue) >= self._latest

    def _is_complete(self) -> bool:
        return self._closed or not self._expected or len(self._queue) >= self._max_batch

    def _answer(self, batch: list[Waiting[Item, Result]]) -> None:
        """Run a batch; if that fails, run each item alone, so that only those fail that cannot be run."""
        if not batch:
            return
        try:
            results = self._timed([waiting.item for waiting in batch])
        except BaseException as exc:  # this thread must survive anything
            if len(batch) == 1:
                batch[0].future.set_exception(exc)
                return
            log.warning("A batch of %d failed; its items are run one by one.", len(batch), exc_info=exc)
            for waiting in batch:
                self._answer([waiting])
        else:
            for waiting, result in zip(batch, results, strict=True):
                waiting.future.set_result(result)

    def _timed(self, items: list[Item]) -> Sequence[Result]:
        self._running, self._running_since = len(items), self._clock()
        try:
            results = self._run(items)
        finally:
            seconds = self.running_for_s()
            self._throughput.note(seconds, len(items))
            self._latest, self._patience_s = len(items), min(self._max_wait_s, seconds / 10)
            self._answered = self._clock()
            self._running, self._running_since = 0, None
        if len(results) != len(items):
            raise ValueError(f"run returned {len(results)} results for {len(items)} items")
        return results
