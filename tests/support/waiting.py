"""Wait for a condition instead of a time, and step the clock instead of waiting."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], within_s: float) -> None:
    """Wait until `condition` holds. Raises AssertionError if it takes longer."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class SteppedClock:
    """`time.monotonic()`, advanced by every step."""

    def __init__(self) -> None:
        self._ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._ahead_s

    def step(self, seconds: float) -> None:
        self._ahead_s += seconds
