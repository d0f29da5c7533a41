"""Admission control, the same for every engine: when a photo is refused, and in which words."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from classifier.errors import ClassifierError, Unavailable

log = logging.getLogger(__name__)

LET_IN_S = 5  # beyond a full batch, a request is admitted if it can be answered this soon, so that a rush ends soon
MAX_EXPLANATIONS = 16  # requests that wait for a heat map; each holds a thread of the server


class Full(Exception):
    """As many items wait as may wait, or as can be run before the deadline."""


class Expired(Exception):
    """The item's deadline passed before its turn; it was not run."""


class Closed(Exception):
    """No more items are accepted."""


class Throughput:
    """Exponentially weighted seconds per item."""

    def __init__(self) -> None:
        self._seconds = self._items = 0.0

    def note(self, seconds: float, items: int) -> None:
        self._seconds = 0.8 * self._seconds + seconds
        self._items = 0.8 * self._items + items

    def seconds(self, items: int) -> float:
        """Return how long `items` more will take; 0 as long as nothing is known."""
        return self._seconds / max(self._items, 1.0) * items


class Places:
    """A fixed number of places for what may wait, named in the plural. Without one, a request is refused at once."""

    def __init__(self, number: int, waiting: str) -> None:
        self._free = threading.Semaphore(number)
        self._waiting = waiting

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold a place. Raises Unavailable."""
        if not self._free.acquire(blocking=False):
            raise too_many(self._waiting)
        try:
            yield
        finally:
            self._free.release()


def patience_s(waiting: int, max_batch: int, timeout_s: float) -> float:
    """Return how soon one more request must be answered to be admitted, in seconds, while `waiting` photos wait."""
    return timeout_s if waiting < max_batch else min(LET_IN_S, timeout_s)


def too_many(waiting: str) -> Unavailable:
    return Unavailable(f"More {waiting} are waiting than can be answered in time; please try again shortly.")


@contextmanager
def user_facing_errors(waiting: str = "photos") -> Iterator[None]:
    """Turn what the queue and the model raise into a ClassifierError with a sentence; `waiting` is what queues."""
    try:
        yield
    except ClassifierError:
        raise
    except Full as exc:
        raise too_many(waiting) from exc
    except Closed as exc:
        raise Unavailable("The site is being restarted; please try again shortly.") from exc
    except (Expired, TimeoutError) as exc:
        raise Unavailable(
            "There was no answer in time, because many photos are waiting; please try again shortly."
        ) from exc
    except BaseException as exc:
        log.error("The model failed.", exc_info=exc)
        raise Unavailable("The model failed on this photo. The error has been logged; please try again.") from exc
