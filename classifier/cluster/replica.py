"""What runs in each replica on a cluster: a whole local engine with its own copy of the model. Knows nothing of Ray."""

import asyncio
import re
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from classifier import errors
from classifier.contract import Answer, Explanation, Label, Resize, ServedModel
from classifier.errors import ClassifierError, StartupError
from classifier.serving.engine import LocalEngine

Result = TypeVar("Result")

OURS = re.compile(r"classifier\.errors\.(\w+): (.+)")
BATCHES_AT_HAND = 2  # one that the model runs, and the next, which is being decoded


@dataclass(frozen=True)
class RemoteModel:
    """What a site tells of a model that runs elsewhere; `contract.Facts`."""

    name: str
    labels: list[Label]
    size: tuple[int, int]
    device: str
    precision: str
    is_random: bool
    threshold: float


def local_engine(network: ServedModel, *, resize: Resize = "crop", **options: Any) -> LocalEngine:
    """The engine around a model, which may know by itself how photos get to its size."""
    return LocalEngine(network, resize=getattr(network, "resize", None) or resize, **options)


class Replica:
    """Answers photos one by one, any number at a time, so that they spread over replicas and meet in batches.

    Errors of ours are returned, not raised, so that they travel as what they are.
    """

    def __init__(self, load: Callable[[], ServedModel], *, max_batch: int = 32, **options: Any) -> None:
        self._engine = local_engine(load(), max_batch=max_batch, **options)
        self._threads = ThreadPoolExecutor(BATCHES_AT_HAND * max_batch, "request")
        sys.setswitchinterval(0.0005)  # the model's thread has to get its turn among those that decode

    async def facts(self) -> RemoteModel:
        model = self._engine.model
        return RemoteModel(
            model.name, model.labels, model.size, model.device, model.precision, model.is_random, model.threshold
        )

    async def classify(self, file: bytes, top: int | None, timeout_s: float) -> Answer | ClassifierError:
        return await self._one(self._engine.classify, [file], top, timeout_s)

    async def classify_pixels(self, pixels: np.ndarray, top: int | None, timeout_s: float) -> Answer | ClassifierError:
        return await self._one(self._engine.classify_pixels, [pixels], top, timeout_s)

    async def explain(self, file: bytes, index: int) -> Explanation | ClassifierError:
        try:
            return await self._in_thread(self._engine.explain, file, index)
        except ClassifierError as error:
            return error

    def check_health(self) -> None:
        """Asked every few seconds; a replica that raises is replaced."""
        if not self._engine.is_alive():
            raise RuntimeError("The model does not come back.")

    async def _one(self, method: Callable[..., Sequence[Result]], *args: Any) -> Result:
        (result,) = await self._in_thread(method, *args)
        return result

    async def _in_thread(self, function: Callable[..., Result], *args: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)


def failure(message: str) -> StartupError:
    """The error of ours that a replica ended with, from its last words."""
    told = OURS.findall(message)
    kind = getattr(errors, told[-1][0], None) if told else None
    if isinstance(kind, type) and issubclass(kind, StartupError):
        return kind(told[-1][1])
    return StartupError(f"The model could not be started on the cluster: {message.strip().splitlines()[-1]}")
