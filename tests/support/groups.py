"""Which tests share a process when several run side by side, and which of them run first."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

ROOT = Path(__file__).resolve().parents[2]
SHARED = ("tensorflow", "ray")
SITE = "tests/browser/test_site.py"
TRAINING = "tests/classifier/training/test_train.py"
FILLER = "gw2"  # the third process, where there is one
# The longest run first; those that are left last are short, so that all processes end at about the same time.
TURNS = (
    "tests/docs",
    "tests/classifier/cluster/test_real_model.py",
    *SHARED,
    "tests/deploy",
    "tests/faults",
    SITE,
    TRAINING,
    "tests/clients",
    "tests/hostile",
    "tests/browser",
    "tests/classifier/storage",
)


class Groups(LoadScopeScheduling):
    """Hands whole groups of tests to the processes that pytest-xdist starts, in the order of collection.

    If two processes run tests, no more than two have TensorFlow in memory at a time. One of them runs the whole group
    `tensorflow`: first the tests that use it in two more processes or on a replica, then those that import it. The
    other one starts the real site later on, which is one such process, and then runs the tests of training.

    A third process, of low priority, fills the gaps in which the two wait for servers and browsers. It starts from the
    end and runs nothing that needs TensorFlow.
    """

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:  # what pytest-xdist has its schedulers override
        return group(nodeid.partition("::")[0])

    def _assign_work_unit(self, node: WorkerController) -> None:  # xdist's own takes the first
        if node.gateway.id == FILLER:
            light = [scope for scope in self.workqueue if scope not in (*SHARED, SITE, TRAINING)]
            if not light:
                return
            self.workqueue.move_to_end(max(light, key=turn), last=False)
        super()._assign_work_unit(node)


@cache
def names(path: str, marker: str) -> bool:
    """Return whether a test file uses a marker."""
    return f"mark.{marker}" in (ROOT / path).read_text()


def group(path: str) -> str:
    """Return the group of a test file: that of the first shared marker it uses, otherwise its own."""
    return path if path in (SITE, TRAINING) else next((name for name in SHARED if names(path, name)), path)


def turn(path: str) -> int:
    """Return when the tests of a file run."""
    turns = (turn for turn, start in enumerate(TURNS) if path.startswith(start) or group(path) == start)
    return next(turns, len(TURNS))
