"""When photos are refused, and in which words: the same for every engine."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from classifier.errors import ClassifierError, Unavailable

log = logging.getLogger(__name__)

LET_IN_S = 5  # beyond a full batch, a request is taken when it can be answered this soon: then a rush ends soon, too


def patience_s(waiting: int, max_batch: int, timeout_s: float) -> float:
    """How soon one more request has to be answered to be let in, in seconds, while so many photos wait."""
    return timeout_s if waiting < max_batch else min(LET_IN_S, timeout_s)


@contextmanager
def user_facing_errors() -> Iterator[None]:
    """What the queue and the model raise, as an error of ours with a sentence."""
    try:
        yield
    except ClassifierError:
        raise
    except Full as exc:
        raise Unavailable("More photos are waiting than can be answered in time; please try again shortly.") from exc
    except Closed as exc:
        raise Unavailable("The site is being restarted; please try again shortly.") from exc
    except (Expired, TimeoutError) as exc:
        raise Unavailable("There was no answer in time, as many photos are waiting; please try again shortly.") from exc
    except BaseException as exc:
        log.error("The model failed.", exc_info=exc)
        raise Unavailable("The model failed on this photo, which was noted; please try again.") from exc


class Full(Exception):
    """As many items wait as may wait, or as can be run before the deadline."""


class Expired(Exception):
    """The item's deadline passed before its turn came; it was not run."""


class Closed(Exception):
    """The batcher takes no more items."""


class Throughput:
    """How long an item takes of late, in a batch; what is longer ago counts for less and less."""

    def __init__(self) -> None:
        self._seconds = self._items = 0.0

    def note(self, seconds: float, items: int) -> None:
        self._seconds = 0.8 * self._seconds + seconds
        self._items = 0.8 * self._items + items

    def seconds(self, items: int) -> float:
        """How long `items` more will take; 0 as long as nothing is known."""
        return self._seconds / max(self._items, 1.0) * items
