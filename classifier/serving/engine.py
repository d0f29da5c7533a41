"""Encoded photos in, ranked classes out: decode, predict, rank."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from PIL.Image import Image

from classifier.contract import FAMILIAR, Answer, Explanation, Resemblance, ServedModel, Stages
from classifier.errors import ClassifierError, NotExplainable
from classifier.options import Limits
from classifier.photos import decode, fit
from classifier.ranking import ranked
from classifier.serving.admission import patience_s, user_facing_errors
from classifier.serving.batching import Batcher
from classifier.serving.explainer import Explainer, ExplanationRequest
from classifier.serving.swapping import Permanent
from classifier.serving.turns import Turns

DECODERS = 2  # photos decoded at the same time: what a large one costs in memory is paid twice at most
EXPLAINED_BY = 0.8  # of the deadline: the longest pause between explanations while photos keep coming


class Scored(NamedTuple):
    """The model's scores for a photo, how the photo resembles its own, and how long it took over how many."""

    scores: np.ndarray  # (classes,)
    resemblance: Resemblance | None
    seconds: float
    batch: int


class PendingPhoto(NamedTuple):
    """A photo on its way through the model."""

    preview: bytes
    notice: str
    decode_s: float
    scored: Future[Scored]


class LocalEngine(Permanent):
    """Answers photos, from any number of threads, which decode; a thread of its own runs the model.

    Photos that come together run as one batch of at most `max_batch`, or of as many as the model runs best. A lone
    one waits for company for at most `max_wait_ms`, and only while another is being read or decoded, or clients that
    were just answered may ask again. At most `max_waiting` wait, and each is answered or refused within `timeout_s`.

    A model in another process knows whether it `is_lost`, and has something to do `on_close`.
    """

    def __init__(
        self,
        model: ServedModel,
        limits: Limits = Limits(),
        is_lost: Callable[[], bool] = lambda: False,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._is_lost = is_lost
        self._on_close = on_close
        self.model = model.info
        self._served = model
        self._limits = limits
        self._decoding = threading.Semaphore(DECODERS)
        self._batcher = Batcher[np.ndarray, Scored](
            self._predict,
            max_batch=min(limits.max_batch, model.largest_run),  # all of a batch wait for its last photo
            max_wait_s=limits.max_wait_ms / 1000,
            max_waiting=limits.max_waiting,
        )
        self._turns = Turns(self._batcher.has_more, max_pause_s=EXPLAINED_BY * limits.timeout_s)
        self._explainer = Explainer(self._explain, limits.timeout_s)

    def classify(
        self, files: Sequence[bytes], top: int | None = None, timeout_s: float | None = None
    ) -> list[Answer | ClassifierError]:
        """Answer each of `files`, in order; the error of a file that cannot be answered takes its place.

        `top` (classes to list) and `timeout_s` (the deadline) default to the engine's limits.
        """
        started = time.monotonic()
        deadline = started + (timeout_s or self._limits.timeout_s)
        with self._batcher.expect():
            asked = [self._ask(file, deadline) for file in files]
        return [self._answer(photo, started, deadline, top) for photo in asked]

    def classify_pixels(
        self, pixels: Sequence[np.ndarray], top: int | None = None, timeout_s: float | None = None
    ) -> list[Answer | ClassifierError]:
        """Like `classify`, for images that have the model's size already, uint8 (h, w, 3). Without previews."""
        started = time.monotonic()
        deadline = started + (timeout_s or self._limits.timeout_s)
        asked = [self._submit(image, b"", 0.0, deadline) for image in pixels]
        return [self._answer(photo, started, deadline, top) for photo in asked]

    def explain(self, read: Callable[[], bytes], index: int) -> Explanation:
        """Show where the class `index` is in the photo that `read` returns, when no photo waits to be classified.

        Raises Unavailable, at once if too many explanations wait; NotExplainable, or the photo's error.
        """
        count = len(self.model.labels)
        if not 0 <= index < count:
            raise NotExplainable(f"There is no class {index}; this model has {count}, counted from 0.")
        return self._explainer.explain(read, index)

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Admit an upload and announce it while it is read: a batch may wait for it. Raises Unavailable at once."""
        limits = self._limits
        with user_facing_errors():
            patience = patience_s(self.waiting(), limits.max_batch, limits.timeout_s)
            self._batcher.check_room(time.monotonic() + patience)
        with self._batcher.expect():
            yield

    def waiting(self) -> int:
        """Return how many photos wait for the model."""
        return self._batcher.waiting()

    def is_alive(self) -> bool:
        """Return False if the model is lost, or has not returned for longer than any answer may take."""
        return (
            not self._is_lost()
            and max(self._batcher.running_for_s(), self._turns.taken_for_s()) < self._limits.timeout_s
        )

    def close(self) -> None:
        """Answer what waits and accept no more."""
        deadline = time.monotonic() + self._limits.timeout_s
        self._batcher.close(self._limits.timeout_s)
        self._explainer.close(max(0.0, deadline - time.monotonic()))
        self._on_close()

    def _ask(self, file: bytes, deadline: float) -> PendingPhoto | ClassifierError:
        """Decode a photo, when it is its turn, and put it in the model's queue."""
        try:
            with user_facing_errors(), self._decoder(deadline):
                started = time.monotonic()
                image, pixels = self._decode(file)
                preview = fit.to_preview(image)
        except ClassifierError as error:
            return error
        notice = image.info.get("notice", "")
        return self._submit(pixels, preview, time.monotonic() - started, deadline, notice)

    def _submit(
        self, pixels: np.ndarray, preview: bytes, decode_s: float, deadline: float, notice: str = ""
    ) -> PendingPhoto | ClassifierError:
        try:
            with user_facing_errors():
                return PendingPhoto(preview, notice, decode_s, self._batcher.submit(pixels, deadline))
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
        predictions = ranked(scored.scores, self.model.labels, top or self._limits.top)
        broader = self.model.terms.surest(scored.scores)
        answer = Answer(predictions, asked.preview, seconds, stages, asked.notice, broader, scored.scores)
        return self._compared(answer, scored.resemblance) if scored.resemblance else answer

    @contextmanager
    def _decoder(self, deadline: float) -> Iterator[None]:
        """Hold one of the few places where photos are decoded. Raises TimeoutError if none is free in time."""
        if not self._decoding.acquire(timeout=max(0, deadline - time.monotonic())):
            raise TimeoutError
        try:
            yield
        finally:
            self._decoding.release()

    def _decode(self, file: bytes) -> tuple[Image, np.ndarray]:
        """Return the upright photo and what the model looks at, uint8 (h, w, 3)."""
        size, resize = self.model.size, self.model.resize
        image = decode.read(file, size, resize, self._limits.max_megapixels)
        return image, fit.to_pixels(image, size, resize)

    def _predict(self, pixels: list[np.ndarray]) -> list[Scored]:
        """Run n images of (h, w, 3); only the batcher calls this."""
        with self._turns.photos():
            started = time.monotonic()
            scores, resemblances = self._run(np.stack(pixels))
            seconds = time.monotonic() - started
        if not np.isfinite(scores).all():
            raise ArithmeticError("The model returned probabilities that are not numbers.")
        return [Scored(row, own, seconds, len(pixels)) for row, own in zip(scores, resemblances, strict=True)]

    def _run(self, images: np.ndarray) -> tuple[np.ndarray, Sequence[Resemblance | None]]:
        """Return the scores of images (n, classes), and how each resembles the model's own if it compares them."""
        if self.model.compares:
            return self._served.compare(images)
        return self._served(images), [None] * len(images)

    def _compared(self, answer: Answer, resemblance: Resemblance) -> Answer:
        """Add to an answer how the photo resembles the model's own; of a stranger, no broader term is sure either."""
        if not self.model.judges:
            return replace(answer, similar=resemblance.similar)
        familiarity, familiar = resemblance.familiarity, resemblance.familiarity >= FAMILIAR
        broader = answer.broader if familiar else None
        similar = resemblance.similar
        return replace(answer, broader=broader, familiarity=familiarity, familiar=familiar, similar=similar)

    def _explain(self, request: ExplanationRequest) -> Explanation:
        """Compute one explanation when the photos leave the device to it; only the explainer calls this."""
        with self._decoder(request.deadline):
            image, pixels = self._decode(request.file)
        size = image.size
        del image  # the photo may be large, and the wait long
        with self._turns.explanation(request.deadline):
            heat = self._served.explain(pixels, request.index)
        return Explanation(heat, self._seen_part(size), size)

    def _seen_part(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """Return the part of a picture of `size` (width, height) that the model looks at."""
        if self.model.resize == "crop":
            return fit.centre_box(size, self.model.size)
        return (0.0, 0.0, float(size[0]), float(size[1]))
