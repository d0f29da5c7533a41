"""Encoded photos in, ranked classes out: decode, predict, rank."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from classifier import images
from classifier.errors import ClassifierError
from classifier.labels import Label


class Network(Protocol):
    """What the engine needs of a model; `classifier.model.Model` is the real one."""

    name: str
    labels: list[Label]
    size: tuple[int, int]
    device: str
    is_random: bool

    def __call__(self, images: np.ndarray, /) -> np.ndarray:
        """uint8 (n, h, w, 3) -> float32 probabilities (n, classes)."""


@dataclass(frozen=True)
class Prediction:
    """One class and how probable it is, 0 to 1; `label` as `decode_predictions` spells it."""

    index: int
    wnid: str
    label: str
    score: float


@dataclass(frozen=True)
class Answer:
    """What a photo shows, most probable first, and the photo as we show it (JPEG)."""

    predictions: tuple[Prediction, ...]
    preview: bytes


class Photo(NamedTuple):
    pixels: np.ndarray  # uint8 (h, w, 3)
    preview: bytes


class Engine:
    """Answers photos, from any number of threads; the model runs one batch at a time."""

    def __init__(
        self, model: Network, *, resize: images.Resize = "crop", top: int = 5, max_megapixels: float = 50
    ) -> None:
        self.model = model
        self._resize = resize
        self._top = top
        self._max_megapixels = max_megapixels
        self._device = threading.Lock()

    def classify(self, files: Sequence[bytes]) -> list[Answer | ClassifierError]:
        """Answer each of `files`, in order; a file that cannot be answered has its error in its place."""
        photos = [self._decode(file) for file in files]
        scores = iter(self._predict([photo.pixels for photo in photos if isinstance(photo, Photo)]))
        return [self._rank(photo, next(scores)) if isinstance(photo, Photo) else photo for photo in photos]

    def _decode(self, file: bytes) -> Photo | ClassifierError:
        size, resize = self.model.size, self._resize
        try:
            image = images.read(file, size, resize, self._max_megapixels)
        except ClassifierError as error:
            return error
        return Photo(images.to_pixels(image, size, resize), images.to_preview(image))

    def _predict(self, pixels: list[np.ndarray]) -> np.ndarray | list[np.ndarray]:
        if not pixels:
            return []
        with self._device:
            return self.model(np.stack(pixels))  # (n, h, w, 3) -> (n, classes)

    def _rank(self, photo: Photo, scores: np.ndarray) -> Answer:
        best = np.argsort(-scores, kind="stable")[: self._top]
        labels = self.model.labels
        predictions = (Prediction(int(i), labels[i].wnid, labels[i].name, float(scores[i])) for i in best)
        return Answer(tuple(predictions), photo.preview)
