"""What runs in each replica on a cluster: a whole local engine with its own copy of the model. It knows no Ray."""

import asyncio
import re
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from classifier import errors
from classifier.contract import Answer, Explanation, ModelInfo, ServedModel
from classifier.errors import ClassifierError, StartupError
from classifier.options import Limits
from classifier.serving.engine import LocalEngine

Result = TypeVar("Result")

RAISED = re.compile(r"classifier\.errors\.(\w+): (.+)")
BATCHES_AT_HAND = 2  # one that the model runs, and the next, which is being decoded


class Replica:
    """Answers photos one by one, any number at a time, so that they spread over replicas and meet in batches.

    A ClassifierError is returned, not raised, so that it travels as what it is.
    """

    def __init__(self, load: Callable[[], ServedModel], limits: Limits = Limits()) -> None:
        self._engine = LocalEngine(load(), limits)
        self._threads = ThreadPoolExecutor(BATCHES_AT_HAND * limits.max_batch, "request")
        sys.setswitchinterval(0.0005)  # the model's thread must get its turn among those that decode

    async def info(self) -> ModelInfo:
        return self._engine.model

    async def classify(self, file: bytes, top: int | None, timeout_s: float) -> Answer | ClassifierError:
        return await self._one(self._engine.classify, [file], top, timeout_s)

    async def classify_pixels(self, pixels: np.ndarray, top: int | None, timeout_s: float) -> Answer | ClassifierError:
        return await self._one(self._engine.classify_pixels, [pixels], top, timeout_s)

    async def explain(self, file: bytes, index: int) -> Explanation | ClassifierError:
        try:
            return await self._in_thread(self._engine.explain, lambda: file, index)
        except ClassifierError as error:
            return error

    def check_health(self) -> None:
        """Called every few seconds; a replica that raises is replaced."""
        if not self._engine.is_alive():
            raise RuntimeError("The model no longer responds.")

    async def _one(self, method: Callable[..., Sequence[Result]], *args: Any) -> Result:
        (result,) = await self._in_thread(method, *args)
        return result

    async def _in_thread(self, function: Callable[..., Result], *args: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)


def failure(message: str) -> StartupError:
    """Return the StartupError that a replica ended with, from the message that Ray reports."""
    raised = RAISED.findall(message)
    kind = getattr(errors, raised[-1][0], None) if raised else None
    if isinstance(kind, type) and issubclass(kind, StartupError):
        return kind(raised[-1][1])
    return StartupError(f"The model could not be started on the cluster: {message.strip().splitlines()[-1]}")
