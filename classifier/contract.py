"""What the engine is given and what it gives."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np

from classifier.errors import ClassifierError


class Label(NamedTuple):
    """One class: its WordNet id ("" where it has none) and its name as `decode_predictions` spells it."""

    wnid: str
    name: str


Resize = Literal["crop", "stretch"]


class Facts(Protocol):
    """What is told of a model, wherever it runs."""

    @property
    def name(self) -> str: ...

    @property
    def labels(self) -> list[Label]: ...

    @property
    def size(self) -> tuple[int, int]:
        """Of the images it looks at: (height, width)."""

    @property
    def device(self) -> str: ...

    @property
    def precision(self) -> str: ...

    @property
    def is_random(self) -> bool: ...

    @property
    def threshold(self) -> float:
        """Under this top probability the answer is "not sure"; 0 for none."""


class ServedModel(Facts, Protocol):
    """What the engine needs of a model; `classifier.models.model.Model` is the real one."""

    @property
    def largest_run(self) -> int:
        """How many images it runs best at once; more take as much longer."""

    def __call__(self, images: np.ndarray, /) -> np.ndarray:
        """uint8 (n, h, w, 3) -> float32 probabilities (n, classes)."""

    def explain(self, image: np.ndarray, index: int, /) -> np.ndarray:
        """uint8 (h, w, 3) and a class -> float32 (rows, columns), 0 to 1. Raises NotExplainable."""


@dataclass(frozen=True)
class Prediction:
    """One class and how probable it is, 0 to 1; `label` as `decode_predictions` spells it."""

    index: int
    wnid: str
    label: str
    score: float


@dataclass(frozen=True)
class Stages:
    """Where an answer's time went, in seconds, and with how many photos it was run."""

    decode: float
    wait: float
    predict: float
    batch: int


@dataclass(frozen=True)
class Answer:
    """What a photo shows, most probable first, the photo as we show it (JPEG), and how long that took."""

    predictions: tuple[Prediction, ...]
    preview: bytes
    seconds: float = 0.0
    stages: Stages | None = None


@dataclass(frozen=True)
class Explanation:
    """Where a class was seen: `heat`, float32 (rows, columns) from 0 to 1, covers the `box` (left, upper, right, lower)
    of the picture of `size` (width, height), which is what the model looked at."""

    heat: np.ndarray
    box: tuple[float, float, float, float]
    size: tuple[int, int]


class Engine(Protocol):
    """What the web needs of an engine; `classifier.serving.engine.Engine` is the local one."""

    @property
    def model(self) -> Facts: ...

    def classify(self, files: Sequence[bytes], top: int | None = None) -> list[Answer | ClassifierError]: ...

    def classify_pixels(
        self, pixels: Sequence[np.ndarray], top: int | None = None
    ) -> list[Answer | ClassifierError]: ...

    def explain(self, file: bytes, index: int) -> Explanation: ...

    def check_room(self) -> None: ...

    def expect(self) -> AbstractContextManager[None]: ...

    def waiting(self) -> int: ...

    def is_alive(self) -> bool: ...

    def close(self) -> None: ...
