"""Wait for a condition, not for a time."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], within_s: float) -> None:
    """Ask again and again; fails when it takes longer."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
