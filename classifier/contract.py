"""The interface between the engine and everything around it: what it is given and what it returns."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

import numpy as np

from classifier.errors import ClassifierError
from classifier.terms import NO_TERMS, SURE, Broader, Terms


class Label(NamedTuple):
    """One class: its WordNet ID ("" if it has none) and its name as `decode_predictions` spells it."""

    wnid: str
    name: str


Resize = Literal["crop", "stretch"]
FAMILIAR = 0.5  # the least familiarity of a photo that looks like the training photos
Note = Callable[[int, int], None]  # takes note of a download's progress: bytes so far, and bytes in all (0: unknown)


@dataclass(frozen=True)
class ModelInfo:
    """A model's properties, wherever it runs."""

    name: str
    labels: list[Label]
    size: tuple[int, int]  # of its input: (height, width)
    resize: Resize  # how photos get to that size
    device: str
    precision: str
    is_random: bool
    threshold: float  # below this top probability the answer is "not sure"; 0 if it has none
    compares: bool = False  # with its training photos; if not, `ServedModel.compare` must not be called
    judges: bool = False  # whether a photo resembles them enough
    device_reason: str = ""  # one sentence: why the graphics card does not answer, if that needs an explanation
    terms: Terms = NO_TERMS  # broader ones than the classes

    def sure_from(self, threshold: float | None = None) -> float:
        """Return the probability from which on the best class is sure by itself; 0 if it always is.

        `threshold` takes the place of the model's own. A model without one is not always sure if it has broader terms.
        """
        return (self.threshold or SURE * bool(self.terms)) if threshold is None else threshold


class SimilarPhoto(NamedTuple):
    """A training photo: its class, its similarity from 0 to 1, and the name of its thumbnail, "" without one."""

    label: str
    similarity: float
    thumbnail: str


class Resemblance(NamedTuple):
    """How a photo resembles those that the model was trained on.

    `familiarity` is from 0 to 1, and FAMILIAR or more if the photo looks like them. `similar` holds the nearest of
    them, the most similar first, whose similarity is on the same scale.
    """

    familiarity: float
    similar: tuple[SimilarPhoto, ...]


class ServedModel(Protocol):
    """A model as the engine needs it; `classifier.models.model.Model` is the real one."""

    @property
    def info(self) -> ModelInfo: ...

    @property
    def largest_run(self) -> int:
        """How many images it runs best at once; more take proportionally longer."""

    def __call__(self, images: np.ndarray, /) -> np.ndarray:
        """Return float32 probabilities (n, classes) of uint8 images (n, h, w, 3)."""

    def compare(self, images: np.ndarray, /) -> tuple[np.ndarray, list[Resemblance]]:
        """Return the same probabilities and, from the same run, how each image resembles the training photos."""

    def explain(self, image: np.ndarray, index: int, /) -> np.ndarray:
        """Return a class' heat map, float32 (rows, columns) from 0 to 1, in a uint8 image (h, w, 3).

        Raises NotExplainable.
        """


@dataclass(frozen=True)
class Prediction:
    """One class and its probability, 0 to 1; `label` as `decode_predictions` spells it."""

    index: int
    wnid: str
    label: str
    score: float


@dataclass(frozen=True)
class Stages:
    """The time each stage of an answer took, in seconds, and the size of the batch it was run in."""

    decode: float
    wait: float
    predict: float
    batch: int


@dataclass(frozen=True)
class Answer:
    """The most probable classes of a photo, best first, its preview (JPEG), and the time it took.

    `notice` is a sentence about a file that lacks its last bytes, `broader` the narrowest term above the best class
    that is sure, and `scores` the probabilities of all classes, float32 (classes,). `familiarity` and `similar` are
    those of `Resemblance`; `familiar` is False for a photo of none of the classes, which has no `broader`. Both are
    None if the model does not judge.
    """

    predictions: tuple[Prediction, ...]
    preview: bytes
    seconds: float = 0.0
    stages: Stages | None = None
    notice: str = ""
    broader: Broader | None = None
    scores: np.ndarray | None = field(default=None, compare=False, repr=False)
    familiarity: float | None = None
    familiar: bool | None = None
    similar: tuple[SimilarPhoto, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """Where a class was seen: `heat`, float32 (rows, columns) from 0 to 1, covers the `box` (left, upper, right, lower)
    of the picture of `size` (width, height), which is the part that the model looked at."""

    heat: np.ndarray
    box: tuple[float, float, float, float]
    size: tuple[int, int]


class Engine(Protocol):
    """An engine as the web needs it; `classifier.serving.engine.LocalEngine` is the local one."""

    @property
    def model(self) -> ModelInfo:
        """The model that answers now. Another one may take over while the site runs."""

    def fallback(self) -> str:
        """Return why another model than the configured one answers, for people; "" if none does."""

    def held(self) -> AbstractContextManager["Engine"]:
        """Hold the engine that answers now, until the end of the context: one model for all of a request."""

    def classify(self, files: Sequence[bytes], top: int | None = None) -> list[Answer | ClassifierError]:
        """Answer encoded photos, in order; the error of a photo that cannot be answered takes its place."""

    def classify_pixels(self, pixels: Sequence[np.ndarray], top: int | None = None) -> list[Answer | ClassifierError]:
        """Answer images that have the model's size already, uint8 (h, w, 3)."""

    def explain(self, read: Callable[[], bytes], index: int) -> Explanation:
        """Show where a class is in a photo, which is read only if there is room for another explanation.

        Raises Unavailable, NotExplainable, or the error of the photo or of `read`.
        """

    def admit(self) -> AbstractContextManager[None]:
        """Admit an upload and announce it while it is read: a batch may wait for it. Raises Unavailable at once."""

    def waiting(self) -> int:
        """Return how many photos are waiting."""

    def is_alive(self) -> bool:
        """Return False if the model no longer responds, so that this process must be replaced."""

    def close(self) -> None:
        """Answer what was accepted and accept no more."""
