"""Which tests share a process when several run side by side, and which of them run first."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

ROOT = Path(__file__).resolve().parents[2]
RAY, TENSORFLOW = "ray", "tensorflow"
SITE = "tests/browser/test_site.py"
TRAINING = "tests/classifier/training/test_train.py"
KEEPER = "gw1"  # the process that has TensorFlow from early on
FILLER = "gw2"  # the third process, where there is one
# The longest run first; those that are left last are short, so that all processes end at about the same time.
TURNS = (
    "tests/docs",
    "tests/classifier/cluster/test_real_model.py",
    "tests/classifier/models/test_backends.py",
    "tests/classifier/models/test_model.py",
    TENSORFLOW,
    RAY,
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
    """Hands whole files of tests to the processes that pytest-xdist starts, in the order of collection.

    Files that share a Ray cluster count as one. If two processes run tests, no more than two have TensorFlow in memory
    at a time. One of them runs the files that need it: first those that use it in two more processes or on a replica,
    then those that import it. The other one starts the real site later on, which is one such process, runs the tests
    of training, and then helps the first.

    A third process fills the gaps in which the two wait for servers and browsers. It starts from the end and runs
    nothing that needs TensorFlow.
    """

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:  # what pytest-xdist has its schedulers override
        path = nodeid.partition("::")[0]
        return RAY if group(path) == RAY else path

    def _assign_work_unit(self, node: WorkerController) -> None:  # xdist's own takes the first
        if node.gateway.id == FILLER:
            scopes = [scope for scope in self.workqueue if group(scope) not in (TENSORFLOW, RAY, SITE, TRAINING)]
            scopes.sort(key=turn, reverse=True)
        else:
            first = node.gateway.id == KEEPER
            scopes = sorted(self.workqueue, key=lambda scope: group(scope) == TENSORFLOW, reverse=first)
        if scopes:
            self.workqueue.move_to_end(scopes[0], last=False)
            super()._assign_work_unit(node)


@cache
def names(path: str, marker: str) -> bool:
    """Return whether a test file uses a marker."""
    return f"mark.{marker}" in (ROOT / path).read_text()


@cache
def group(scope: str) -> str:
    """Return the shared marker that a test file, or the group of one, uses; otherwise its own name."""
    if scope in (SITE, TRAINING, RAY):
        return scope
    return next((marker for marker in (TENSORFLOW, RAY) if names(scope, marker)), scope)


def turn(path: str) -> int:
    """Return when the tests of a file run."""
    turns = (turn for turn, start in enumerate(TURNS) if path.startswith(start) or group(path) == start)
    return next(turns, len(TURNS))
