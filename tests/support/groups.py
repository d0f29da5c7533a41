"""Which tests share a process when several run side by side, and which of them run first."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parents[2]
SHARED = ("tensorflow", "ray")
# The longest run first; those that are left last are short, so that all processes end at about the same time.
TURNS = (
    "tests/docs",
    "tests/browser/test_site.py",
    *SHARED,
    "tests/deploy",
    "tests/faults",
    "tests/clients",
    "tests/hostile",
    "tests/browser",
    "tests/classifier/storage",
)


class Groups(LoadScopeScheduling):
    """Hands whole groups of tests to the processes that pytest-xdist starts, in the order of collection.

    All tests that use TensorFlow are one group, so that with two processes no more than two have it in memory at a
    time: first come those that start the site and the command line, which use it in processes of their own.
    """

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:  # what pytest-xdist has its schedulers override
        return group(nodeid.partition("::")[0])


@cache
def names(path: str, marker: str) -> bool:
    """Return whether a test file uses a marker."""
    return f"mark.{marker}" in (ROOT / path).read_text()


def group(path: str) -> str:
    """Return the group of a test file: that of the first shared marker it uses, otherwise its own."""
    return next((name for name in SHARED if names(path, name)), path)


def turn(path: str) -> int:
    """Return when the tests of a file run."""
    turns = (turn for turn, start in enumerate(TURNS) if path.startswith(start) or group(path) == start)
    return next(turns, len(TURNS))
