"""The engine's methods, answered by replicas elsewhere. Knows nothing of Ray: `cluster.py` reaches the replicas.

Photos travel one by one, encoded, so that they spread over the replicas.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, cast

import numpy as np

from classifier.contract import Answer, Explanation, Facts
from classifier.errors import ClassifierError, Unavailable
from classifier.serving.admission import Closed, Full, Throughput, patience_s, user_facing_errors

log = logging.getLogger(__name__)

WATCH_S = 5  # between two looks at how many replicas run
SILENT_S = 30  # without a word from the cluster, and this process has lost it


TRIES = 5  # then it may be the photo that kills replicas
PAUSE_S = 0.1  # before the second try; each next pause is twice as long


class ReplicaLost(Exception):
    """The replica died, or cannot be reached, before it answered."""


class Reply(Protocol):
    """What a replica will say."""

    def result(self, timeout_s: float) -> Any:
        """Raises TimeoutError, ReplicaLost, Full when too many wait already, or what went wrong in the replica."""


class Replicas(Protocol):
    """What the engine needs of a cluster; `classifier.cluster.ray_serve.ServeReplicas` is the real one."""

    def facts(self) -> Facts: ...

    def ask(self, method: str, *args: Any) -> Reply: ...

    def running(self) -> int: ...

    def close(self) -> None: ...


class ReplicaCall:
    """What is asked of one replica, and of another when that one dies. `ask` is told how many seconds are left."""

    def __init__(
        self, ask: Callable[[float], Reply], deadline: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._deadline = deadline
        self._clock = clock
        self._reply = ask(self._left())

    def result(self) -> Any:
        """Return the reply. Raises TimeoutError, ReplicaLost after some tries, Full, or the replica's own error."""
        for tries in range(1, TRIES + 1):
            try:
                return self._reply.result(self._left())
            except Full:
                if tries == 1:  # what was taken once is not refused any more
                    raise
            except ReplicaLost as exc:
                log.warning("A replica was lost (%s).", exc)
                if tries == TRIES:
                    raise
            time.sleep(min(PAUSE_S * 2 ** (tries - 1), self._left()))
            self._reply = self._ask(self._left())
        raise TimeoutError

    def _left(self) -> float:
        return max(0.0, self._deadline - self._clock())


class RemoteEngine:
    """Answers photos by asking replicas, from any number of threads; runs no model and no TensorFlow itself.

    The bounds are the local engine's: beyond what the replicas run at once, `max_batch` photos each, at most
    `max_waiting` of this process wait, and each is answered or refused within `timeout_s`.
    """

    def __init__(
        self,
        replicas: Replicas,
        *,
        top: int = 5,
        max_batch: int = 32,
        max_waiting: int = 256,
        timeout_s: float = 30,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._replicas = replicas
        self._top = top
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._timeout_s = timeout_s
        self._clock = clock
        self.model = replicas.facts()  # the pages tell of it; nobody runs it here
        self._running = replicas.running()
        self._heard = self._clock()
        self._in_flight = 0
        self._pace = Throughput()
        self._changed = threading.Condition()
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="replicas", daemon=True).start()

    def classify(self, files: Sequence[bytes], top: int | None = None) -> list[Answer | ClassifierError]:
        """As `Engine.classify`."""
        return self._ask_all("classify", files, top)

    def classify_pixels(self, pixels: Sequence[np.ndarray], top: int | None = None) -> list[Answer | ClassifierError]:
        """As `Engine.classify_pixels`."""
        return self._ask_all("classify_pixels", pixels, top)

    def explain(self, file: bytes, index: int) -> Explanation:
        """As `Engine.explain`; within the deadline, too. Raises NotExplainable, the photo's error or Unavailable."""
        with user_facing_errors():
            self._check_open()
            ask = partial(self._replicas.ask, "explain", file, index)
            explanation = ReplicaCall(lambda left_s: ask(), self._clock() + self._timeout_s, self._clock).result()
        if isinstance(explanation, ClassifierError):
            raise explanation
        return cast(Explanation, explanation)

    def check_room(self) -> None:
        """Refuse early, before an upload is read. Raises Unavailable."""
        with user_facing_errors(), self._changed:
            self._check_room(self._clock() + patience_s(self.waiting(), self._max_batch, self._timeout_s))

    def expect(self) -> AbstractContextManager[None]:
        """Nothing here waits for company: the replicas gather their batches."""
        return nullcontext()

    def waiting(self) -> int:
        """How many photos of this process are more than the replicas run at once."""
        return max(0, self._in_flight - self._running * self._max_batch)

    def is_alive(self) -> bool:
        """False when this process has lost the cluster. Replicas that hang are the cluster's to replace."""
        return self._closed.is_set() or self._clock() - self._heard < SILENT_S

    def close(self) -> None:
        """Wait for what was asked, take no more, and leave the cluster, or end it if it is ours."""
        self._closed.set()
        with self._changed:
            self._changed.wait_for(lambda: not self._in_flight, self._timeout_s)
        self._replicas.close()

    def _ask_all(self, method: str, photos: Sequence[Any], top: int | None) -> list[Answer | ClassifierError]:
        started = self._clock()
        deadline = started + self._timeout_s
        asked = [self._ask(method, photo, top or self._top, deadline) for photo in photos]
        return [self._answer(question, started) for question in asked]

    def _ask(self, method: str, photo: Any, top: int, deadline: float) -> ReplicaCall | ClassifierError:
        try:
            with user_facing_errors(), self._changed:
                self._check_room(deadline)
                question = ReplicaCall(partial(self._replicas.ask, method, photo, top), deadline, self._clock)
                self._in_flight += 1
                return question
        except ClassifierError as error:
            return error

    def _answer(self, question: ReplicaCall | ClassifierError, started: float) -> Answer | ClassifierError:
        if isinstance(question, ClassifierError):
            return question
        try:
            with user_facing_errors():
                answer = question.result()
        except ClassifierError as error:
            return error
        finally:
            with self._changed:
                self._in_flight -= 1
                self._changed.notify_all()
        self._heard = self._clock()
        return self._timed(answer, self._heard - started) if isinstance(answer, Answer) else answer

    def _timed(self, answer: Answer, seconds: float) -> Answer:
        """The answer with the time that it took from here; the way there and back counts as waiting."""
        stages = answer.stages
        if stages is None:
            return replace(answer, seconds=seconds)
        with self._changed:
            self._pace.note(stages.predict, stages.batch)
        waited = max(0.0, seconds - stages.decode - stages.predict)
        return replace(answer, seconds=seconds, stages=replace(stages, wait=waited))

    def _check_room(self, deadline: float) -> None:
        self._check_open()
        if not self._running:
            raise Unavailable("The model is being started again; please try again shortly.")
        answered_in_s = self._pace.seconds(self._in_flight + 1) / self._running if self._in_flight else 0.0
        if self._clock() + answered_in_s > deadline or self.waiting() >= self._max_waiting:
            raise Full

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise Closed

    def _watch(self) -> None:
        """Know how many replicas run, and that the cluster is there."""
        while not self._closed.wait(WATCH_S):
            try:
                self._running = self._replicas.running()
                self._heard = self._clock()
            except Exception as exc:
                log.warning("The cluster did not tell how many replicas run.", exc_info=exc)
