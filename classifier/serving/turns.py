"""Turns on the device: batches of photos first, explanations in the gaps between them."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from classifier.serving.admission import Expired

BURST = 3  # explanations that need not keep the pause, so that a few people need not wait for each other
PAUSES = 20  # a pause is this many times the longer of a batch and an explanation: one batch in 20 is delayed at most
LOOK_AGAIN_S = 0.02


class Turns:
    """One user of the device at a time: the photos' thread or an explanation.

    Photos wait for nothing but the explanation that is running. An explanation waits until `are_photos_coming` is
    false. While photos keep coming, explanations also pause, so that the photos' latency at the 95th percentile stays
    as it is; a pause is no longer than `max_pause_s`. On a site that is quiet, they follow one another.
    """

    def __init__(
        self,
        are_photos_coming: Callable[[], bool],
        max_pause_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._are_photos_coming = are_photos_coming
        self._max_pause_s = max_pause_s
        self._clock = clock
        self._changed = threading.Condition()
        self._taken_at: float | None = None
        self.are_photos_here = False
        self._last_photos = -math.inf  # when the latest batch ended
        self._batch_s = 0.0  # how long it took
        self._explanation_s = math.inf  # the shortest, since the first one also builds its graph
        self._owed, self._owed_at = 0.0, 0.0  # pauses, and when they were counted

    @contextmanager
    def photos(self) -> Iterator[None]:
        """Hold the device for a batch of photos."""
        with self._changed:
            self.are_photos_here = True
            self._changed.wait_for(lambda: self._taken_at is None)
            self.are_photos_here, self._taken_at = False, self._clock()
        try:
            yield
        finally:
            self._batch_s, self._last_photos = self._release()

    @contextmanager
    def explanation(self, deadline: float) -> Iterator[None]:
        """Hold the device for one explanation. Raises Expired if its turn does not come before `deadline`."""
        with self._changed:
            while self._clock() <= deadline and not self._is_explanations_turn():
                self._changed.wait(LOOK_AGAIN_S)
            if self._clock() > deadline:
                raise Expired
            self._owe_a_pause()
            self._taken_at = self._clock()
        try:
            yield
        finally:
            self._explanation_s = min(self._explanation_s, self._release()[0])

    def taken_for_s(self) -> float:
        """Return how long the device has been held, 0 if it is free: a watchdog's reading."""
        since = self._taken_at
        return 0.0 if since is None else self._clock() - since

    def _release(self) -> tuple[float, float]:
        """Free the device; returns how long it was held, and the time."""
        with self._changed:
            seconds, self._taken_at = self.taken_for_s(), None
            self._changed.notify_all()
            return seconds, self._clock()

    def _is_explanations_turn(self) -> bool:
        if self._taken_at is not None or self.are_photos_here or self._are_photos_coming():
            return False
        return self._is_quiet() or self._pauses_owed() <= BURST - 1

    def _is_quiet(self) -> bool:
        return self._clock() > self._last_photos + self._pause_s()

    def _pauses_owed(self) -> float:
        """Return how many pauses the explanations that ran beside photos have not kept yet."""
        pause_s = self._pause_s()
        return max(0.0, self._owed - (self._clock() - self._owed_at) / pause_s) if pause_s else 0.0

    def _owe_a_pause(self) -> None:
        if not self._is_quiet():
            self._owed, self._owed_at = self._pauses_owed() + 1, self._clock()

    def _pause_s(self) -> float:
        explanation_s = self._explanation_s if math.isfinite(self._explanation_s) else 0.0
        return min(PAUSES * max(self._batch_s, explanation_s), self._max_pause_s)
