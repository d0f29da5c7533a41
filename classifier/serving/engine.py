"""Encoded photos in, ranked classes out: decode, predict, rank."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

import numpy as np

from classifier import contract
from classifier.contract import Answer, Explanation, Prediction, ServedModel, Stages
from classifier.errors import ClassifierError, NotExplainable
from classifier.photos import decode, fit
from classifier.serving.admission import patience_s, user_facing_errors
from classifier.serving.batching import Batcher

DECODERS = 2  # photos decoded at the same time: what a large one costs in memory is paid twice at most


class Scored(NamedTuple):
    """What the model said of a photo, and how long it took over how many."""

    scores: np.ndarray  # (classes,)
    seconds: float
    batch: int


class PendingPhoto(NamedTuple):
    """A photo on its way through the model."""

    preview: bytes
    decode_s: float
    scored: Future[Scored]


class LocalEngine:
    """Answers photos, from any number of threads, which decode; one thread of its own runs the model.

    Photos that come together are run as one batch of at most `max_batch`, or of as many as the model runs best;
    a lone one waits for company for at most `max_wait_ms`, and only while another is being read or decoded, or some
    who were answered last may ask again. At most `max_waiting` wait, and each is answered or refused
    within `timeout_s`.
    """

    def __init__(
        self,
        model: ServedModel,
        *,
        resize: contract.Resize = "crop",
        top: int = 5,
        max_megapixels: float = 50,
        max_batch: int = 32,
        max_wait_ms: float = 100,
        max_waiting: int = 256,
        timeout_s: float = 30,
    ) -> None:
        self.model = model
        self._resize = resize
        self._top = top
        self._max_megapixels = max_megapixels
        self._timeout_s = timeout_s
        self._max_batch = max_batch
        self._decoding = threading.Semaphore(DECODERS)
        self._batcher = Batcher[np.ndarray, Scored](
            self._predict,
            max_batch=min(max_batch, model.largest_run),  # all of a batch wait for its last photo
            max_wait_s=max_wait_ms / 1000,
            max_waiting=max_waiting,
        )

    def classify(
        self, files: Sequence[bytes], top: int | None = None, timeout_s: float | None = None
    ) -> list[Answer | ClassifierError]:
        """Answer each of `files`, in order; a file that cannot be answered has its error in its place.

        `top` is how many classes to list, if not as many as ever; so is `timeout_s` how long it may take.
        """
        started = time.monotonic()
        deadline = started + (timeout_s or self._timeout_s)
        with self._batcher.expect():
            asked = [self._ask(file, deadline) for file in files]
        return [self._answer(photo, started, deadline, top) for photo in asked]

    def classify_pixels(
        self, pixels: Sequence[np.ndarray], top: int | None = None, timeout_s: float | None = None
    ) -> list[Answer | ClassifierError]:
        """As `classify`, of what the model is to look at as it is: uint8 (h, w, 3) of its size. Without previews."""
        started = time.monotonic()
        deadline = started + (timeout_s or self._timeout_s)
        asked = [self._submit(image, b"", 0.0, deadline) for image in pixels]
        return [self._answer(photo, started, deadline, top) for photo in asked]

    def explain(self, file: bytes, index: int) -> Explanation:
        """Where the class `index` was seen in a photo. Raises NotExplainable, or the photo's error."""
        if not 0 <= index < len(self.model.labels):
            raise NotExplainable(f"There is no class {index}; this model has {len(self.model.labels)}, counted from 0.")
        with user_facing_errors():
            image = decode.read(file, self.model.size, self._resize, self._max_megapixels)
            heat = self.model.explain(fit.to_pixels(image, self.model.size, self._resize), index)
        whole = (0.0, 0.0, float(image.width), float(image.height))
        box = fit.centre_box(image.size, self.model.size) if self._resize == "crop" else whole
        return Explanation(heat, box, image.size)

    def check_room(self) -> None:
        """Refuse early, before an upload is read, while too much waits already. Raises Unavailable."""
        with user_facing_errors():
            self._batcher.check_room(time.monotonic() + patience_s(self.waiting(), self._max_batch, self._timeout_s))

    def expect(self) -> AbstractContextManager[None]:
        """Announce that photos are on their way, as while an upload is read: a batch may wait for them."""
        return self._batcher.expect()

    def waiting(self) -> int:
        """How many photos wait for the model."""
        return self._batcher.waiting()

    def is_alive(self) -> bool:
        """False when the model has not come back for longer than any answer may take."""
        return self._batcher.running_for_s() < self._timeout_s

    def close(self) -> None:
        """Answer what waits and take no more."""
        self._batcher.close(self._timeout_s)

    def _ask(self, file: bytes, deadline: float) -> PendingPhoto | ClassifierError:
        """Decode a photo, when it is its turn, and put it in the model's queue."""
        try:
            with user_facing_errors(), self._decoder(deadline):
                started = time.monotonic()
                image = decode.read(file, self.model.size, self._resize, self._max_megapixels)
                pixels = fit.to_pixels(image, self.model.size, self._resize)
                preview = fit.to_preview(image)
        except ClassifierError as error:
            return error
        return self._submit(pixels, preview, time.monotonic() - started, deadline)

    def _submit(
        self, pixels: np.ndarray, preview: bytes, decode_s: float, deadline: float
    ) -> PendingPhoto | ClassifierError:
        try:
            with user_facing_errors():
                return PendingPhoto(preview, decode_s, self._batcher.submit(pixels, deadline))
        except ClassifierError as error:
            return error

    def _answer(
        self, asked: PendingPhoto | ClassifierError, started: float, deadline: float, top: int | None
    ) -> Answer | ClassifierError:
        if isinstance(asked, ClassifierError):
            return asked
        try:
            with user_facing_errors():
                scored = asked.scored.result(deadline - time.monotonic())
        except ClassifierError as error:
            asked.scored.cancel()
            return error
        seconds = time.monotonic() - started
        waited = max(0.0, seconds - asked.decode_s - scored.seconds)
        stages = Stages(asked.decode_s, waited, scored.seconds, scored.batch)
        return Answer(self._rank(scored.scores, top or self._top), asked.preview, seconds, stages)

    @contextmanager
    def _decoder(self, deadline: float) -> Iterator[None]:
        """One of the few places where photos are decoded. Raises TimeoutError when none is free in time."""
        if not self._decoding.acquire(timeout=max(0, deadline - time.monotonic())):
            raise TimeoutError
        try:
            yield
        finally:
            self._decoding.release()

    def _predict(self, pixels: list[np.ndarray]) -> list[Scored]:
        """The batcher's `run`: n images of (h, w, 3)."""
        started = time.monotonic()
        scores = self.model(np.stack(pixels))  # (n, classes)
        if not np.isfinite(scores).all():
            raise ArithmeticError("The model gave probabilities that are no numbers.")
        seconds = time.monotonic() - started
        return [Scored(row, seconds, len(pixels)) for row in scores]

    def _rank(self, scores: np.ndarray, top: int) -> tuple[Prediction, ...]:
        best = np.argsort(-scores, kind="stable")[:top]
        labels = self.model.labels
        return tuple(Prediction(int(i), labels[i].wnid, labels[i].name, float(scores[i])) for i in best)
