"""The engine's methods, answered by replicas elsewhere. It knows no Ray: `ray_serve.py` reaches the replicas.

Photos travel one by one, encoded, so that they spread over the replicas.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, cast

import numpy as np

from classifier.contract import Answer, Explanation, ModelInfo
from classifier.errors import ClassifierError, Unavailable
from classifier.options import Limits
from classifier.serving.admission import (
    MAX_EXPLANATIONS,
    Closed,
    Full,
    Places,
    Throughput,
    patience_s,
    user_facing_errors,
)
from classifier.serving.swapping import Permanent

log = logging.getLogger(__name__)

WATCH_S = 5  # between two checks of how many replicas run
SILENT_S = 30  # without a reply from the cluster, after which this process counts as cut off
TRIES = 5  # after that, the photo may be what kills replicas
REPLICA_SHARE = 0.95  # of the time left: a replica starts counting later, and must not run what is given up here
PAUSE_S = 0.1  # before the second try; each next pause is twice as long


class ReplicaLost(Exception):
    """The replica died, or cannot be reached, before it answered."""


class Reply(Protocol):
    """A replica's pending reply."""

    def result(self, timeout_s: float) -> Any:
        """Wait for the reply. Raises TimeoutError, ReplicaLost, Full if too many wait, or the replica's own error."""


class Replicas(Protocol):
    """A cluster as the engine needs it; `classifier.cluster.ray_serve.ServeReplicas` is the real one."""

    def info(self) -> ModelInfo: ...

    def ask(self, method: str, *args: Any) -> Reply: ...

    def running(self) -> int: ...

    def close(self) -> None: ...


class ReplicaCall:
    """A call to one replica, repeated on another if that one dies. `ask` is given the seconds that the replica has."""

    def __init__(self, ask: Callable[[float], Reply], deadline: float, clock: Callable[[], float]) -> None:
        self._ask = ask
        self._deadline = deadline
        self._clock = clock
        self._reply = self._sent()

    def result(self) -> Any:
        """Return the reply. Raises TimeoutError, ReplicaLost after some tries, Full, or the replica's own error."""
        for tries in range(1, TRIES + 1):
            try:
                return self._reply.result(self._left())
            except Full:
                if tries == 1:  # a photo that was accepted once is not refused later
                    raise
            except ReplicaLost as exc:
                log.warning("A replica was lost (%s).", exc)
                if tries == TRIES:
                    raise
            time.sleep(min(PAUSE_S * 2 ** (tries - 1), self._left()))
            self._reply = self._sent()
        raise TimeoutError

    def _sent(self) -> Reply:
        return self._ask(REPLICA_SHARE * self._left())

    def _left(self) -> float:
        return max(0.0, self._deadline - self._clock())


class RemoteEngine(Permanent):
    """Answers photos by calling replicas, from any number of threads; it runs no model and no TensorFlow here.

    The limits are the local engine's: beyond what the replicas run at once, `max_batch` photos each, at most
    `max_waiting` of this process wait, and each is answered or refused within `timeout_s`.
    """

    def __init__(
        self,
        replicas: Replicas,
        limits: Limits = Limits(),
        *,
        clock: Callable[[], float] = time.monotonic,
        throughput: Throughput | None = None,
    ) -> None:
        self._replicas = replicas
        self._limits = limits
        self._clock = clock
        self.model = replicas.info()
        self._running = replicas.running()
        self._heard = clock()
        self._in_flight = 0
        self._throughput = throughput or Throughput()
        self._explanations = Places(MAX_EXPLANATIONS, "explanations")
        self._changed = threading.Condition()
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="replicas", daemon=True).start()

    def classify(self, files: Sequence[bytes], top: int | None = None) -> list[Answer | ClassifierError]:
        """As `LocalEngine.classify`."""
        return self._ask_all("classify", files, top)

    def classify_pixels(self, pixels: Sequence[np.ndarray], top: int | None = None) -> list[Answer | ClassifierError]:
        """As `LocalEngine.classify_pixels`."""
        return self._ask_all("classify_pixels", pixels, top)

    def explain(self, read: Callable[[], bytes], index: int) -> Explanation:
        """As `LocalEngine.explain`."""
        with self._explanations.taken():
            explanation = self._explain(read(), index)
        if isinstance(explanation, ClassifierError):
            raise explanation
        return explanation

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Admit an upload; the replicas gather their own batches. Raises Unavailable at once."""
        limits = self._limits
        with user_facing_errors(), self._changed:
            patience = patience_s(self.waiting(), limits.max_batch, limits.timeout_s)
            self._check_room(self._clock() + patience)
        yield

    def waiting(self) -> int:
        """Return how many photos of this process exceed what the replicas run at once."""
        return max(0, self._in_flight - self._running * self._limits.max_batch)

    def is_alive(self) -> bool:
        """Return False if this process has lost the cluster. Replacing replicas that hang is the cluster's task."""
        return self._closed.is_set() or self._clock() - self._heard < SILENT_S

    def close(self) -> None:
        """Wait for the answers that are due, accept no more, and leave the cluster; end it if it was started here."""
        self._closed.set()
        with self._changed:
            self._changed.wait_for(lambda: not self._in_flight, self._limits.timeout_s)
        self._replicas.close()

    def _explain(self, file: bytes, index: int) -> Explanation | ClassifierError:
        with user_facing_errors("explanations"):
            self._check_open()
            ask = partial(self._replicas.ask, "explain", file, index)
            reply = ReplicaCall(lambda left_s: ask(), self._clock() + self._limits.timeout_s, self._clock).result()
            return cast(Explanation | ClassifierError, reply)

    def _ask_all(self, method: str, photos: Sequence[Any], top: int | None) -> list[Answer | ClassifierError]:
        started = self._clock()
        deadline = started + self._limits.timeout_s
        calls = [self._ask(method, photo, top or self._limits.top, deadline) for photo in photos]
        return [self._answer(call, started) for call in calls]

    def _ask(self, method: str, photo: Any, top: int, deadline: float) -> ReplicaCall | ClassifierError:
        try:
            with user_facing_errors(), self._changed:
                self._check_room(deadline)
                call = ReplicaCall(partial(self._replicas.ask, method, photo, top), deadline, self._clock)
                self._in_flight += 1
                return call
        except ClassifierError as error:
            return error

    def _answer(self, call: ReplicaCall | ClassifierError, started: float) -> Answer | ClassifierError:
        if isinstance(call, ClassifierError):
            return call
        try:
            with user_facing_errors():
                answer = call.result()
        except ClassifierError as error:
            return error
        finally:
            with self._changed:
                self._in_flight -= 1
                self._changed.notify_all()
        self._heard = self._clock()
        return self._timed(answer, self._heard - started) if isinstance(answer, Answer) else answer

    def _timed(self, answer: Answer, seconds: float) -> Answer:
        """Return the answer with the time it took from here; the way there and back counts as waiting."""
        stages = answer.stages
        if stages is None:
            return replace(answer, seconds=seconds)
        with self._changed:
            self._throughput.note(stages.predict, stages.batch)
        waited = max(0.0, seconds - stages.decode - stages.predict)
        return replace(answer, seconds=seconds, stages=replace(stages, wait=waited))

    def _check_room(self, deadline: float) -> None:
        self._check_open()
        if not self._running:
            raise Unavailable("The model is being restarted; please try again shortly.")
        answered_in_s = self._throughput.seconds(self._in_flight + 1) / self._running if self._in_flight else 0.0
        if self._clock() + answered_in_s > deadline or self.waiting() >= self._limits.max_waiting:
            raise Full

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise Closed

    def _watch(self) -> None:
        """Keep track of how many replicas run, and of whether the cluster responds."""
        while not self._closed.wait(WATCH_S):
            try:
                self._running = self._replicas.running()
                self._heard = self._clock()
            except Exception as exc:
                log.warning("The cluster did not report how many replicas run.", exc_info=exc)
