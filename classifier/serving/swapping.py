"""One engine answers until another is ready: a fallback while, or because, the weights are not there."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import numpy as np

from classifier.contract import Answer, Engine, Explanation, ModelInfo, Note
from classifier.errors import ClassifierError
from classifier.text import one_line

log = logging.getLogger(__name__)


class Permanent:
    """What an engine that nothing replaces says of itself."""

    def fallback(self) -> str:
        """Return "": the configured model answers."""
        return ""

    @contextmanager
    def held(self) -> Iterator[Self]:
        """Hold this engine."""
        yield self


@dataclass
class Tenure:
    """An engine's time as the one that answers, and how many requests hold it."""

    engine: Engine
    holders: int = 0


class SwappingEngine:
    """Answers with an engine until another takes its place. What holds an engine keeps it to the end (see `held`)."""

    def __init__(self, engine: Engine, reason: str = "") -> None:
        self.reason = reason  # why this engine answers and not the one that was configured
        self._present = Tenure(engine)
        self._changed = threading.Condition()
        self._is_closed = False

    @property
    def model(self) -> ModelInfo:
        return self._present.engine.model

    def fallback(self) -> str:
        return self.reason

    @contextmanager
    def held(self) -> Iterator[Engine]:
        """Hold the engine that answers now: it stays open until the end of the context, even if it is replaced."""
        with self._changed:
            tenure = self._present
            tenure.holders += 1
        try:
            yield tenure.engine
        finally:
            with self._changed:
                tenure.holders -= 1
                self._changed.notify_all()

    def swap(self, engine: Engine) -> None:
        """Let `engine` answer from now on, and close the present one when nothing holds it any more."""
        with self._changed:
            past, self._present, self.reason = self._present, Tenure(engine), ""
            self._changed.wait_for(lambda: self._is_closed or not past.holders)
        past.engine.close()
        if self._is_closed:
            engine.close()

    def classify(self, files: Sequence[bytes], top: int | None = None) -> list[Answer | ClassifierError]:
        with self.held() as engine:
            return engine.classify(files, top)

    def classify_pixels(self, pixels: Sequence[np.ndarray], top: int | None = None) -> list[Answer | ClassifierError]:
        with self.held() as engine:
            return engine.classify_pixels(pixels, top)

    def explain(self, read: Callable[[], bytes], index: int) -> Explanation:
        with self.held() as engine:
            return engine.explain(read, index)

    @contextmanager
    def admit(self) -> Iterator[None]:
        with self.held() as engine, engine.admit():
            yield

    def waiting(self) -> int:
        return self._present.engine.waiting()

    def is_alive(self) -> bool:
        return self._present.engine.is_alive()

    def close(self) -> None:
        """Close the engine that answers, and the one that may be about to take its place."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._present.engine.close()


class Succession:
    """The way of the model `title` to take over from the one that answers: download, load, swap."""

    def __init__(self, engine: SwappingEngine, title: str) -> None:
        self._engine = engine
        self._title = title
        self._present = engine.model.name
        self._tenths = 0

    def start(self, fetch: Callable[[Note], None], load: Callable[[], Engine]) -> None:
        """Begin in a thread of its own.

        `fetch` raises OSError if the weights cannot be downloaded. If that fails, or `load`, the present model goes on,
        and the reason is logged and given by the engine.
        """
        self._give_reason(f"{self._title} is being downloaded.")
        log.info(self._engine.reason)
        threading.Thread(target=self._run, args=(fetch, load), name="succession", daemon=True).start()

    def _run(self, fetch: Callable[[Note], None], load: Callable[[], Engine]) -> None:
        try:
            fetch(self._note)
        except OSError as exc:
            self._give_up(logging.WARNING, unavailable(self._title, self._present, exc.strerror or one_line(exc)))
        else:
            self._give_reason(f"{self._title} is being loaded.")
            self._load(load)

    def _load(self, load: Callable[[], Engine]) -> None:
        try:
            self._engine.swap(load())
            log.info("%s answers now, in place of %s.", self._title, self._present)
        except Exception as exc:
            reason = f"{self._title} could not be loaded, so {self._present} answers; the log gives the reason."
            self._give_up(logging.ERROR, reason, exc)

    def _give_up(self, level: int, reason: str, exc: Exception | None = None) -> None:
        """Log why the present model goes on, and only then give that reason to the pages, which point to the log."""
        log.log(level, reason, exc_info=exc)
        self._engine.reason = reason

    def _note(self, done: int, total: int) -> None:
        """Give the progress of the download, and log every tenth of it."""
        self._give_reason(f"{self._title} is being downloaded: {progress(done, total)}.")
        tenths = 10 * done // total if total else 0
        if tenths > self._tenths:
            self._tenths = tenths
            log.info("%s: %s.", self._title, progress(done, total))

    def _give_reason(self, state: str) -> None:
        self._engine.reason = f"{state} Until then, {self._present} answers."


def progress(done: int, total: int) -> str:
    """Return "212 of 553 MB", or "212 MB" if the total is not known."""
    return f"{done / 1e6:.0f} of {total / 1e6:.0f} MB" if total else f"{done / 1e6:.0f} MB"


def unavailable(title: str, present: str, cause: str) -> str:
    """Return why `present` answers in place of `title`, and how to bring `title`."""
    return (
        f"{title} could not be downloaded ({cause}), so {present} answers. Once this machine can reach the internet, "
        f"a restart brings {title}; docs/models.md explains how to install it offline."
    )
