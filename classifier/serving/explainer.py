"""Explanations within bounds: a few wait, one is computed at a time, and nobody computes the same one twice."""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from classifier.contract import Explanation
from classifier.serving.admission import MAX_EXPLANATIONS, Places, user_facing_errors
from classifier.serving.batching import Batcher

KEPT = 256  # explanations that are remembered, of a few kB each


@dataclass(frozen=True)
class ExplanationRequest:
    file: bytes
    index: int
    deadline: float


class Explainer:
    """Answers requests for explanations, from any number of threads, by calling `explain` in a thread of its own.

    At most MAX_EXPLANATIONS requests wait. One beyond that, or one that cannot be answered within `timeout_s`, is
    refused at once, before its photo is read. Requests for the same explanation share it.
    """

    def __init__(self, explain: Callable[[ExplanationRequest], Explanation], timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._places = Places(MAX_EXPLANATIONS, "explanations")
        self._lock = threading.Lock()
        self._latest: OrderedDict[tuple[bytes, int], Future[Explanation]] = OrderedDict()
        self._queue = Batcher[ExplanationRequest, Explanation](
            lambda requests: [explain(request) for request in requests],
            max_batch=1,
            max_wait_s=0,
            max_waiting=MAX_EXPLANATIONS,
        )

    def explain(self, read: Callable[[], bytes], index: int) -> Explanation:
        """Return the explanation of a class in the photo that `read` returns.

        Raises Unavailable, or what `read` or `explain` raises.
        """
        deadline = time.monotonic() + self._timeout_s
        with self._places.taken():
            request = ExplanationRequest(read(), index, deadline)
            with user_facing_errors("explanations"):
                return self._shared(request).result(deadline - time.monotonic())

    def close(self, timeout_s: float) -> None:
        """Answer the requests that wait and accept no more."""
        self._queue.close(timeout_s)

    def _shared(self, request: ExplanationRequest) -> Future[Explanation]:
        """Return the future of an equal request if it has not failed, otherwise queue this one."""
        key = hashlib.sha256(request.file).digest(), request.index
        with self._lock:
            future = self._latest.pop(key, None)
            if future is None or has_failed(future):
                future = self._queue.submit(request, request.deadline)
            self._latest[key] = future
            if len(self._latest) > KEPT:
                self._latest.popitem(last=False)
        return future


def has_failed(future: Future[Explanation]) -> bool:
    return future.done() and future.exception() is not None
