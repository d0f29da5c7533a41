"""Asking replicas, of which some may die: the same question goes to another one, within the same deadline."""

import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

from classifier.contract import Facts
from classifier.serving.batching import Full

log = logging.getLogger(__name__)

TRIES = 5  # then it may be the photo that kills replicas
PAUSE_S = 0.1  # before the second try; each next pause is twice as long


class Gone(Exception):
    """The replica died, or cannot be reached, before it answered."""


class Reply(Protocol):
    """What a replica will say."""

    def result(self, timeout_s: float) -> Any:
        """Raises TimeoutError, Gone, Full when too many wait already, or what went wrong in the replica."""


class Replicas(Protocol):
    """What the engine needs of a cluster; `classifier.cluster.ray_serve.ServeReplicas` is the real one."""

    def facts(self) -> Facts: ...

    def ask(self, method: str, *args: Any) -> Reply: ...

    def running(self) -> int: ...

    def close(self) -> None: ...


class Question:
    """What is asked of one replica, and of another when that one dies. `ask` is told how many seconds are left."""

    def __init__(self, ask: Callable[[float], Reply], deadline: float) -> None:
        self._ask = ask
        self._deadline = deadline
        self._reply = ask(self._left())

    def result(self) -> Any:
        """Raises TimeoutError after the deadline, Gone after some tries, Full, or what went wrong in the replica."""
        for tries in range(1, TRIES + 1):
            try:
                return self._reply.result(self._left())
            except Full:
                if tries == 1:  # what was taken once is not refused any more
                    raise
            except Gone as exc:
                log.warning("A replica was lost (%s).", exc)
                if tries == TRIES:
                    raise
            time.sleep(min(PAUSE_S * 2 ** (tries - 1), self._left()))
            self._reply = self._ask(self._left())
        raise TimeoutError

    def _left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())
